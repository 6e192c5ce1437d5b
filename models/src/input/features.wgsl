// The network's features of one block of steps of one link, from its packed samples: `Binned::of`, then
// `Reference::write_deviation`, then `block::features`. Angles and their sines are made here: drivers' are not exact enough.

@group(0) @binding(0) var<storage, read> samples: array<u32>;
// Of each link: HEADER words, for each step the grid step of its packet, the quiet channel, the receive chains' factors.
@group(0) @binding(1) var<storage, read> jobs: array<u32>;
@group(0) @binding(2) var<storage, read_write> features: array<f32>;

const HEADER: u32 = 5u;
const NOTHING: u32 = 0xffffffffu;
const BANDS: u32 = ANTENNAS * BINS;
const COLUMNS: u32 = BANDS / MEAN_OF;
const BLOCKS: u32 = STEPS / BLOCK;
const JOB: u32 = HEADER + STEPS + 2u * BANDS + 2u * ANTENNAS;
const ABOVE: u32 = COLUMNS * (COLUMNS - 1u) / 2u;
const FEATURES: u32 = COLUMNS * COLUMNS + 1u + 2u * LAGS + 2u * COLUMNS + 1u;
const THREADS: u32 = 64u;
// Threads that share a step's sums.
const PARTS: u32 = THREADS / BLOCK;
const MIDDLE: f32 = (f32(BINS) - 1.0) / 2.0;

var<workgroup> shares: array<vec2f, THREADS>;
// Of each step: the turn from one subcarrier to the next, the factor that brings the packet to the quiet channel, the slope
// over the bins, and 1 if there is a packet.
var<workgroup> turns: array<vec2f, BLOCK>;
var<workgroup> factors: array<vec2f, BLOCK>;
var<workgroup> slopes: array<f32, BLOCK>;
var<workgroup> heard: array<f32, BLOCK>;
// [step][antenna][bin], then [step][column].
var<workgroup> bins: array<vec2f, BLOCK * BANDS>;
var<workgroup> columns: array<vec2f, BLOCK * COLUMNS>;

fn times(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// a · conj(b)
fn against(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(a.x * b.x + a.y * b.y, a.y * b.x - a.x * b.y);
}

fn conj(a: vec2f) -> vec2f {
    return vec2f(a.x, -a.y);
}

fn finite(v: vec2f) -> bool {
    return !unsound(bitcast<u32>(v.x)) && !unsound(bitcast<u32>(v.y));
}

fn usable(v: vec2f) -> bool {
    return finite(v) && (v.x != 0.0 || v.y != 0.0);
}

// Without squares that leave the range of floats.
fn size(v: vec2f) -> f32 {
    let most = max(abs(v.x), abs(v.y));
    let part = v / max(most, 1.17549435e-38);
    return most * sqrt(dot(part, part));
}

fn unit(v: vec2f) -> vec2f {
    let n = size(v);
    if n > 1e-20 && !unsound(bitcast<u32>(n)) {
        return v / n;
    }
    return vec2f(1.0, 0.0);
}

// exp(j·angle) for angles of a few turns: reduction to ±π/4, then the polynomials of Cephes' sinf and cosf.
fn turned_by(angle: f32) -> vec2f {
    let quarter = round(angle * 0.636619772);
    let x = ((angle - quarter * 1.5703125) - quarter * 4.83751297e-4) - quarter * 7.54978995e-8;
    let q = x * x;
    let s = x + x * q * (-1.6666654611e-1 + q * (8.3321608736e-3 - q * 1.9515295891e-4));
    let c = 1.0 - 0.5 * q + q * q * (4.166664568298827e-2 + q * (-1.388731625493765e-3 + q * 2.443315711809948e-5));
    let n = i32(quarter) & 3;
    let even = (n & 1) == 0;
    let v = select(vec2f(s, c), vec2f(c, s), even);
    // 0: (c, s), 1: (-s, c), 2: (-c, -s), 3: (s, -c)
    return vec2f(select(v.x, -v.x, n == 1 || n == 2), select(v.y, -v.y, n == 2 || n == 3));
}

fn quiet(job: u32, band: u32) -> vec2f {
    let at = job + HEADER + STEPS + 2u * band;
    return vec2f(bitcast<f32>(jobs[at]), bitcast<f32>(jobs[at + 1u]));
}

// Sum over the bins of `products` turned back by `slope`.
fn aligned(products: ptr<function, array<vec2f, BINS>>, slope: f32) -> vec2f {
    var sum = vec2f(0.0);
    for (var b = 0u; b < BINS; b += 1u) {
        sum += times((*products)[b], turned_by(-slope * (f32(b) - MIDDLE)));
    }
    return sum;
}

@compute @workgroup_size(THREADS)
fn link_features(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let job = group.y * JOB;
    let start = jobs[job];
    let subcarriers = jobs[job + 1u];
    let antennas = jobs[job + 2u];
    let packet_values = jobs[job + 3u];
    let sources = job + HEADER + group.x * BLOCK;
    let out = (jobs[job + 4u] * BLOCKS + group.x) * FEATURES;

    // The slope over the subcarriers.
    var acc = vec2f(0.0);
    if thread < PARTS * BLOCK {
        let source = jobs[sources + thread / PARTS];
        if source != NOTHING {
            let packet = start + source * packet_values;
            let between = max(subcarriers, 1u) - 1u;
            for (var i = thread % PARTS; i < antennas * between; i += PARTS) {
                let v = packet + i / between * subcarriers + i % between;
                let a = sample(v + 1u);
                let b = sample(v);
                let p = against(a, b);
                if usable(a) && usable(b) && finite(p) {
                    acc += p;
                }
            }
        }
    }
    shares[thread] = acc;
    workgroupBarrier();
    if thread < BLOCK {
        var sum = vec2f(0.0);
        for (var i = 0u; i < PARTS; i += 1u) {
            sum += shares[thread * PARTS + i];
        }
        turns[thread] = conj(unit(sum));
    }
    workgroupBarrier();

    for (var i = thread; i < BLOCK * BANDS; i += THREADS) {
        let step = i / BANDS;
        let antenna = i % BANDS / BINS;
        let bin = i % BINS;
        let source = jobs[sources + step];
        var mean = vec2f(0.0);
        if source != NOTHING && antenna < antennas {
            let packet = start + source * packet_values + antenna * subcarriers;
            let first = bin * subcarriers / BINS;
            let end = min(max((bin + 1u) * subcarriers / BINS, first + 1u), subcarriers);
            var turn = vec2f(1.0, 0.0);
            for (var c = 0u; c < first; c += 1u) {
                turn = times(turn, turns[step]);
            }
            var count = 0.0;
            for (var c = first; c < end; c += 1u) {
                let h = sample(packet + c);
                if usable(h) {
                    mean += times(h, turn);
                    count += 1.0;
                }
                turn = times(turn, turns[step]);
            }
            mean /= max(count, 1.0);
        }
        bins[i] = select(vec2f(0.0), mean, usable(mean));
    }
    workgroupBarrier();

    // Gain, phase and slope that bring each packet nearest to the quiet channel.
    if thread < BLOCK {
        var products: array<vec2f, BINS>;
        var power = 0.0;
        var wanted = 0.0;
        for (var b = 0u; b < BINS; b += 1u) {
            var sum = vec2f(0.0);
            for (var k = 0u; k < ANTENNAS; k += 1u) {
                let h = bins[thread * BANDS + k * BINS + b];
                let q = quiet(job, k * BINS + b);
                sum += against(h, q);
                power += dot(h, h);
                wanted += dot(q, q);
            }
            products[b] = sum;
        }
        var turn = vec2f(0.0);
        for (var b = 1u; b < BINS; b += 1u) {
            turn += against(products[b], products[b - 1u]);
        }
        var slope = select(0.0, angle(turn.y, turn.x), turn.x != 0.0 || turn.y != 0.0);
        let back = conj(unit(aligned(&products, slope)));
        var up = 0.0;
        var down = 0.0;
        for (var b = 0u; b < BINS; b += 1u) {
            let x = f32(b) - MIDDLE;
            let p = times(times(products[b], turned_by(-slope * x)), back);
            up += x * p.y;
            down += x * x * abs(p.x);
        }
        if down > 0.0 {
            slope += clamp(up / down, -0.5, 0.5);
        }
        let sum = aligned(&products, slope);
        let gain = min(wanted / size(sum), MOST_GAIN * sqrt(wanted / power));
        let alive = gain > 0.0 && power > 0.0 && size(sum) > 0.0 && !unsound(bitcast<u32>(gain));
        factors[thread] = conj(unit(sum)) * select(0.0, gain, alive);
        slopes[thread] = slope;
        heard[thread] = select(0.0, 1.0, alive);
    }
    workgroupBarrier();

    for (var i = thread; i < BLOCK * COLUMNS; i += THREADS) {
        let step = i / COLUMNS;
        let band = i % COLUMNS * MEAN_OF;
        let chain_at = job + HEADER + STEPS + 2u * BANDS + 2u * (band / BINS);
        let chain = vec2f(bitcast<f32>(jobs[chain_at]), bitcast<f32>(jobs[chain_at + 1u]));
        var sum = vec2f(0.0);
        for (var m = band; m < band + MEAN_OF; m += 1u) {
            let turn = times(factors[step], turned_by(-slopes[step] * (f32(m % BINS) - MIDDLE)));
            let d = times(times(bins[step * BANDS + m], turn) - quiet(job, m), chain);
            sum += trunc(clamp(d, vec2f(-LIMIT), vec2f(LIMIT)) * UNITS);
        }
        columns[i] = select(vec2f(0.0), sum / (UNITS * f32(MEAN_OF)), heard[step] > 0.0);
    }
    workgroupBarrier();

    var received = 0.0;
    var trace = 0.0;
    for (var step = 0u; step < BLOCK; step += 1u) {
        received += heard[step];
        for (var c = 0u; c < COLUMNS; c += 1u) {
            trace += dot(columns[step * COLUMNS + c], columns[step * COLUMNS + c]);
        }
    }
    let each = 1.0 / max(received, 1.0);
    let power = trace * each + LEAST_POWER;
    let silent = received == 0.0;

    for (var i = thread; i < COLUMNS * COLUMNS; i += THREADS) {
        let a = i / COLUMNS;
        let b = i % COLUMNS;
        var sum = vec2f(0.0);
        for (var step = 0u; step < BLOCK; step += 1u) {
            sum += against(columns[step * COLUMNS + a], columns[step * COLUMNS + b]);
        }
        let moment = sum * (MOMENT_SCALE * each / power);
        if a == b {
            features[out + a] = moment.x;
        }
        if a < b {
            let at = out + COLUMNS + a * (COLUMNS - 1u) - a * (a + 1u) / 2u + b - 1u;
            features[at] = moment.x;
            features[at + ABOVE] = moment.y;
        }
    }

    // Products over time: as many threads for each distance as a block has steps.
    let rest = out + COLUMNS * COLUMNS;
    let lag = thread / BLOCK;
    let before = thread % BLOCK;
    let after = before + lag + 1u;
    acc = vec2f(0.0);
    if lag < LAGS && after < BLOCK {
        for (var c = 0u; c < COLUMNS; c += 1u) {
            acc += against(columns[after * COLUMNS + c], columns[before * COLUMNS + c]);
        }
    }
    workgroupBarrier();
    shares[thread] = acc;
    workgroupBarrier();
    if thread < LAGS {
        var sum = vec2f(0.0);
        var count = 0.0;
        for (var step = 0u; step + thread + 1u < BLOCK; step += 1u) {
            sum += shares[thread * BLOCK + step];
            count += heard[step] * heard[step + thread + 1u];
        }
        let product = sum / (max(count, 1.0) * power);
        features[rest + 1u + 2u * thread] = product.x;
        features[rest + 2u + 2u * thread] = product.y;
    }
    let means = rest + 1u + 2u * LAGS;
    if thread < COLUMNS {
        var sum = vec2f(0.0);
        for (var step = 0u; step < BLOCK; step += 1u) {
            sum += columns[step * COLUMNS + thread];
        }
        let mean = sum * (each * MEAN_SCALE / sqrt(power));
        features[means + thread] = mean.x;
        features[means + COLUMNS + thread] = mean.y;
    }
    if thread == 0u {
        features[rest] = select(0.5 * log(power) + 1.0, 0.0, silent);
        features[means + 2u * COLUMNS] = received / f32(BLOCK);
    }
}
