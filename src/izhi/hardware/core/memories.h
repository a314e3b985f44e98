// Memories of a core in CXXRTL's stead. Each has one port that writes whole words, so that the one word which a cycle
// writes can simply be kept until the cycle ends; CXXRTL keeps a sorted queue, which took most of the time.
namespace cxxrtl {

template <size_t Width>
struct memory_of_one_port {
    const size_t depth;
    std::unique_ptr<value<Width>[]> data;
    bool is_written = false;
    size_t index = 0;
    value<Width> word;

    explicit memory_of_one_port(size_t depth) : depth(depth), data(new value<Width>[depth]) {}

    value<Width> &operator[](size_t at) { return data[at]; }
    const value<Width> &operator[](size_t at) const { return data[at]; }

    void update(size_t at, const value<Width> &written, const value<Width> &enable, int = 0) {
        if (enable.is_zero()) return;
        is_written = true;
        index = at;
        word = written;
    }

    template <class Observer>
    bool commit(Observer &) {
        if (!is_written) return false;
        data[index] = word;
        is_written = false;
        return true;
    }
};

}  // namespace cxxrtl
