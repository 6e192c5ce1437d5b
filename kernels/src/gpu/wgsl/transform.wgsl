// Discrete Fourier transforms of LINES lines at once in workgroup memory, LINE_THREADS threads each: Stockham's
// radix 4 with one pass of radix 2 where needed, and Bluestein's convolution where POINTS is no power of two.
//
// `line` is [LINES][POINTS]; POINTS is the padded length, LENGTH the transform's. Powers of two: exp(∓) as the tables
// have it. Bluestein: the last factor, of magnitude 1, is left out, so only powers are of use.

@group(1) @binding(0) var<storage, read> roots: array<vec2f>;
// What a value is multiplied by before the transform.
@group(1) @binding(1) var<storage, read> before: array<vec2f>;
// Spectrum of Bluestein's chirp, over POINTS.
@group(1) @binding(2) var<storage, read> chirp: array<vec2f>;

var<workgroup> line: array<vec2f, LINES * POINTS>;

const HELD: u32 = POINTS / LINE_THREADS;

fn times(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn root(i: u32, sign: f32) -> vec2f {
    let w = roots[i & (POINTS - 1u)];
    return vec2f(w.x, sign * w.y);
}

// The pass that makes transforms of 2 * done out of those of `done`.
fn radix2(base: u32, thread: u32, done: u32, sign: f32) {
    var held: array<vec2f, HELD>;
    let half = POINTS / 2u;
    for (var b = 0u; b < HELD / 2u; b += 1u) {
        let j = thread + b * LINE_THREADS;
        let k = j & (done - 1u);
        let x = line[base + j];
        let y = times(line[base + j + half], root(k * (POINTS / (2u * done)), sign));
        held[2u * b] = x + y;
        held[2u * b + 1u] = x - y;
    }
    workgroupBarrier();
    for (var b = 0u; b < HELD / 2u; b += 1u) {
        let j = thread + b * LINE_THREADS;
        let k = j & (done - 1u);
        let at = base + (j - k) * 2u + k;
        line[at] = held[2u * b];
        line[at + done] = held[2u * b + 1u];
    }
    workgroupBarrier();
}

// The pass that makes transforms of 4 * done.
fn radix4(base: u32, thread: u32, done: u32, sign: f32) {
    var held: array<vec2f, HELD>;
    let quarter = POINTS / 4u;
    for (var b = 0u; b < HELD / 4u; b += 1u) {
        let j = thread + b * LINE_THREADS;
        let k = j & (done - 1u);
        let step = k * (POINTS / (4u * done));
        let x0 = line[base + j];
        let x1 = times(line[base + j + quarter], root(step, sign));
        let x2 = times(line[base + j + 2u * quarter], root(2u * step, sign));
        let x3 = times(line[base + j + 3u * quarter], root(3u * step, sign));
        let s02 = x0 + x2;
        let d02 = x0 - x2;
        let s13 = x1 + x3;
        let d13 = x1 - x3;
        // -i times the difference forwards, +i backwards.
        let turned = sign * vec2f(d13.y, -d13.x);
        held[4u * b] = s02 + s13;
        held[4u * b + 1u] = d02 + turned;
        held[4u * b + 2u] = s02 - s13;
        held[4u * b + 3u] = d02 - turned;
    }
    workgroupBarrier();
    for (var b = 0u; b < HELD / 4u; b += 1u) {
        let j = thread + b * LINE_THREADS;
        let k = j & (done - 1u);
        let at = base + (j - k) * 4u + k;
        line[at] = held[4u * b];
        line[at + done] = held[4u * b + 1u];
        line[at + 2u * done] = held[4u * b + 2u];
        line[at + 3u * done] = held[4u * b + 3u];
    }
    workgroupBarrier();
}

fn power_of_two(base: u32, thread: u32, sign: f32) {
    var done = 1u;
    if RADIX2 {
        radix2(base, thread, done, sign);
        done = 2u;
    }
    for (; done < POINTS; done <<= 2u) {
        radix4(base, thread, done, sign);
    }
}

// Transforms what the threads have laid in `line`, padded with zeros; ends with a barrier.
fn transform(base: u32, thread: u32) {
    workgroupBarrier();
    power_of_two(base, thread, 1.0);
    if BLUESTEIN {
        for (var i = thread; i < POINTS; i += LINE_THREADS) {
            line[base + i] = times(line[base + i], chirp[i]);
        }
        workgroupBarrier();
        power_of_two(base, thread, -1.0);
    }
}
