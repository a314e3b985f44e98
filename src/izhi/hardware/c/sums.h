/* Sums of weights of a few bits, over inputs that fire. */

/* The k-th of the weights of a row, which have so many bits each. */
static inline int32_t weight_at(const uint8_t *row, uint32_t k, uint32_t bits)
{
    const uint32_t place = k * bits, half = 1u << (bits - 1);
    const uint32_t word = row[place >> 3] | (uint32_t)row[(place >> 3) + 1] << 8;
    return (int32_t)(((word >> (place & 7)) & (2 * half - 1)) ^ half) - (int32_t)half;
}

static inline void add_row(int32_t *sum, const uint8_t *row, uint32_t count, uint32_t bits, int32_t times)
{
    for (uint32_t j = 0; j < count; j++)
        sum[j] += times * weight_at(row, j, bits);
}

/* Add the weights of each input that fires; a row of weights belongs to an input. */
static inline void add_events(int32_t *sum, uint32_t count, const uint8_t *x, uint32_t inputs, const uint8_t *weight,
                              uint32_t bits)
{
    const uint32_t bytes = (count * bits + 7) >> 3;
    for (uint32_t i = 0; i < inputs; i++)
        if (x[i])
            add_row(sum, weight + i * bytes, count, bits, x[i]);
}

/* Add the weights of all inputs; a row of weights belongs to an output. */
static inline void add_products(int32_t *sum, uint32_t count, const uint8_t *x, uint32_t inputs, const uint8_t *weight,
                                uint32_t bits)
{
    const uint32_t bytes = (inputs * bits + 7) >> 3;
    for (uint32_t j = 0; j < count; j++) {
        int32_t total = 0;
        for (uint32_t i = 0; i < inputs; i++)
            total += x[i] * weight_at(weight + j * bytes, i, bits);
        sum[j] += total;
    }
}

/* A kernel that moves over features (channels, height, width). */
struct window {
    int32_t channels, height, width, kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, down, across;
};

/* Add the weights of each input that fires, at the places whose window covers it. A row of weights belongs to a
   place of the kernel and has a weight of each channel; sums are ordered by channel, then by place. */
static inline void add_convolution(int32_t *sum, int32_t count, const uint8_t *x, const struct window *w,
                                   const uint8_t *weight, uint32_t bits)
{
    const uint32_t bytes = ((uint32_t)count * bits + 7) >> 3;
    const int32_t places = w->down * w->across;
    for (int32_t c = 0; c < w->channels; c++)
        for (int32_t y = 0; y < w->height; y++)
            for (int32_t z = 0; z < w->width; z++, x++) {
                if (!*x)
                    continue;
                for (int32_t ky = 0; ky < w->kernel_y; ky++) {
                    const int32_t up = y + w->padding_y - ky;
                    if (up < 0 || up % w->stride_y || up / w->stride_y >= w->down)
                        continue;
                    for (int32_t kx = 0; kx < w->kernel_x; kx++) {
                        const int32_t left = z + w->padding_x - kx;
                        if (left < 0 || left % w->stride_x || left / w->stride_x >= w->across)
                            continue;
                        int32_t *to = sum + up / w->stride_y * w->across + left / w->stride_x;
                        const uint8_t *row = weight + (uint32_t)((c * w->kernel_y + ky) * w->kernel_x + kx) * bytes;
                        for (int32_t n = 0; n < count; n++)
                            to[n * places] += *x * weight_at(row, (uint32_t)n, bits);
                    }
                }
            }
}

/* The sum or the maximum of each channel's features within a window. */
static inline void pool(uint8_t *out, const uint8_t *x, const struct window *w, int takes_maximum)
{
    for (int32_t c = 0; c < w->channels; c++)
        for (int32_t y = 0; y < w->down; y++)
            for (int32_t z = 0; z < w->across; z++) {
                uint8_t result = 0;
                for (int32_t ky = 0; ky < w->kernel_y; ky++)
                    for (int32_t kx = 0; kx < w->kernel_x; kx++) {
                        const uint8_t one =
                            x[(c * w->height + y * w->stride_y + ky) * w->width + z * w->stride_x + kx];
                        if (!takes_maximum)
                            result = (uint8_t)(result + one);
                        else if (one > result)
                            result = one;
                    }
                *out++ = result;
            }
}

/* Inputs of delay[i] steps before; past holds those of the last steps, a row for each. */
static inline void delayed(uint8_t *out, const uint8_t *x, const uint16_t *delay, uint8_t *past, uint32_t length,
                           uint32_t inputs, uint32_t step)
{
    for (uint32_t i = 0; i < inputs; i++)
        past[step % length * inputs + i] = x[i];
    for (uint32_t i = 0; i < inputs; i++)
        out[i] = delay[i] < length ? past[(step + length - delay[i]) % length * inputs + i] : 0;
}
