/* A square to draw digits on, with a mouse, a pen or a finger, and their pixels as MNIST has them. */

export const SIDE = 28; // of an image of MNIST, whose digits fill a box of 20
const BOX = 20;

/* Lines that look like a digit, in parts of the pad. */
const DIGITS = [
  [[0.5, 0.15], [0.3, 0.3], [0.28, 0.6], [0.42, 0.85], [0.6, 0.83], [0.72, 0.6], [0.7, 0.3], [0.5, 0.15]],
  [[0.56, 0.15], [0.5, 0.5], [0.46, 0.85]],
  [[0.3, 0.3], [0.42, 0.16], [0.62, 0.18], [0.68, 0.34], [0.55, 0.55], [0.3, 0.82], [0.5, 0.78], [0.74, 0.82]],
  [[0.3, 0.2], [0.5, 0.15], [0.65, 0.27], [0.5, 0.46], [0.68, 0.6], [0.62, 0.8], [0.44, 0.86], [0.28, 0.78]],
  [[0.36, 0.15], [0.3, 0.48], [0.5, 0.52], [0.7, 0.48], [0.7, 0.2], [0.7, 0.5], [0.66, 0.86]],
  [[0.7, 0.16], [0.38, 0.18], [0.34, 0.45], [0.55, 0.45], [0.68, 0.6], [0.6, 0.8], [0.4, 0.86], [0.28, 0.78]],
  [[0.6, 0.14], [0.4, 0.36], [0.32, 0.65], [0.42, 0.85], [0.6, 0.82], [0.66, 0.64], [0.52, 0.54], [0.34, 0.66]],
  [[0.28, 0.2], [0.5, 0.2], [0.7, 0.18], [0.56, 0.5], [0.46, 0.86]],
  [[0.6, 0.22], [0.44, 0.16], [0.36, 0.32], [0.6, 0.56], [0.62, 0.76], [0.46, 0.86], [0.36, 0.7], [0.6, 0.42], [0.66, 0.28], [0.58, 0.2]],
  [[0.66, 0.3], [0.5, 0.18], [0.36, 0.32], [0.48, 0.48], [0.66, 0.34], [0.64, 0.6], [0.56, 0.86]],
];

export class Pad {
  /* changed() is called after each stroke; colour() is that of the ink. */
  constructor(canvas, colour, changed) {
    Object.assign(this, { canvas, colour, changed, pixels: new Float64Array(SIDE * SIDE) });
    this.pen = canvas.getContext("2d", { willReadFrequently: true });
    this.listen();
  }

  listen() {
    const { canvas } = this;
    let last = null;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      return [(x / box.width) * canvas.width, (y / box.height) * canvas.height];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = place(event);
      this.stroke(last, last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (last === null) return;
      const here = place(event);
      this.stroke(last, here);
      last = here;
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  }

  stroke(from, to) {
    const { pen } = this;
    pen.lineWidth = this.canvas.width / 12;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = this.colour();
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    this.pixels = this.centred();
    this.changed();
  }

  clear() {
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.pixels = new Float64Array(SIDE * SIDE);
    this.changed();
  }

  write(digit) {
    this.clear();
    const points = DIGITS[digit].map(([x, y]) => [x * this.canvas.width, y * this.canvas.height]);
    points.slice(1).forEach((point, k) => this.stroke(points[k], point));
  }

  /* The ink in another colour, such as that of another theme. */
  recolour() {
    this.pen.globalCompositeOperation = "source-in";
    this.pen.fillStyle = this.colour();
    this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.pen.globalCompositeOperation = "source-over";
  }

  /* The box around what is drawn, and its centre of mass; null if nothing is. */
  bounds() {
    const size = this.canvas.width;
    const ink = this.pen.getImageData(0, 0, size, size).data;
    let [left, top, right, bottom] = [size, size, -1, -1];
    let [mass, across, down] = [0, 0, 0];
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        const one = ink[4 * (y * size + x) + 3];
        if (one <= 40) continue;
        [left, right] = [Math.min(left, x), Math.max(right, x)];
        [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
        [mass, across, down] = [mass + one, across + one * x, down + one * y];
      }
    if (right < 0) return null;
    return { length: Math.max(right - left + 1, bottom - top + 1), x: across / mass, y: down / mass };
  }

  /* What is drawn as MNIST has it: scaled into a box of 20 pixels, its centre of mass in the middle. */
  centred() {
    const values = new Float64Array(SIDE * SIDE);
    const box = this.bounds();
    if (box === null) return values;
    const scale = BOX / box.length;
    const small = new OffscreenCanvas(SIDE, SIDE).getContext("2d");
    small.setTransform(scale, 0, 0, scale, SIDE / 2 - scale * box.x, SIDE / 2 - scale * box.y);
    small.imageSmoothingQuality = "high";
    small.drawImage(this.canvas, 0, 0);
    const image = small.getImageData(0, 0, SIDE, SIDE).data;
    return values.map((_, k) => image[4 * k + 3] / 255);
  }
}
