// One packet a workgroup: power and slopes of all pairs, then amplitude, ratio and unwrapped phase, ROWS pairs at a
// time, LANES threads each.

struct Column {
    // Column of the packet; the top bit is set where the column before is the common step away.
    source: u32,
    // Subcarrier index.
    index: f32,
    // Index less its mean.
    centred: f32,
    // That over the sum of its squares.
    slope: f32,
}

@group(0) @binding(0) var<storage, read> samples: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<Column>;
@group(0) @binding(2) var<storage, read_write> gains: array<f32>;
@group(0) @binding(3) var<storage, read_write> amplitude: array<f32>;
@group(0) @binding(4) var<storage, read_write> phase: array<f32>;
@group(0) @binding(5) var<storage, read_write> ratio_re: array<f32>;
@group(0) @binding(6) var<storage, read_write> ratio_im: array<f32>;

const TAU: f32 = 6.28318531;
const NEIGHBOUR: u32 = 0x80000000u;

var<workgroup> sums: array<vec4f, THREADS>;
var<workgroup> turns: array<i32, THREADS>;
// Power, neighbour product (re, im) and broken values of each pair.
var<workgroup> pair_sums: array<vec4f, PAIRS>;
// Slope and mean of each pair's phase.
var<workgroup> lines: array<vec2f, PAIRS>;
var<workgroup> rows: array<f32, ROWS * COLUMNS>;

// Adds up each row's `sums` into its first lane's.
fn reduce(thread: u32, lane: u32) {
    for (var half = LANES / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if lane < half {
            sums[thread] += sums[thread + half];
        }
    }
    workgroupBarrier();
}

fn turn(now: f32, before: f32) -> i32 {
    return i32(round((now - before) * (1.0 / TAU)));
}

@compute @workgroup_size(THREADS)
fn packet(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let lane = thread % LANES;
    let row = thread / LANES;
    let number = group.y * STEPS + group.x;
    let base_in = number * (PAIRS * SUBCARRIERS);
    let to = number * (PAIRS * COLUMNS);

    for (var base = 0u; base < PAIRS; base += ROWS) {
        let pair = base + row;
        var acc = vec4f(0.0);
        if pair < PAIRS {
            for (var c = lane; c < COLUMNS; c += LANES) {
                let source = columns[c].source;
                let v = base_in + pair * SUBCARRIERS + (source & ~NEIGHBOUR);
                let h = sample(v);
                acc.x += dot(h, h);
                acc.w += select(0.0, 1.0, broken(v));
                if (source & NEIGHBOUR) != 0u {
                    let g = sample(base_in + pair * SUBCARRIERS + (columns[c - 1u].source & ~NEIGHBOUR));
                    acc.y += dot(h, g);
                    acc.z += h.y * g.x - h.x * g.y;
                }
            }
        }
        sums[thread] = acc;
        reduce(thread, lane);
        if lane == 0u && pair < PAIRS {
            pair_sums[pair] = sums[thread];
        }
    }
    workgroupBarrier();

    var total = vec4f(0.0);
    for (var pair = 0u; pair < PAIRS; pair += 1u) {
        total += pair_sums[pair];
    }
    let alive = total.w == 0.0 && total.x > 0.0 && !unsound(bitcast<u32>(total.x));
    var gain = 0.0;
    if alive {
        gain = select(1.0, sqrt(f32(PAIRS * COLUMNS) / total.x), UNIT_POWER);
    }
    if thread == 0u {
        gains[number] = gain;
    }

    for (var base = 0u; base < PAIRS; base += ROWS) {
        let pair = base + row;
        let own = row * COLUMNS;
        let here = to + pair * COLUMNS;
        if pair < PAIRS {
            var product = pair_sums[pair];
            if SHARED {
                product = total;
            }
            // The line is reduced to less than a turn before it is rounded: `coarse * index` is exact.
            let slope = angle(product.z, product.y) / STEP * (1.0 / TAU);
            let coarse = round(slope * 4096.0) * (1.0 / 4096.0);
            let fine = slope - coarse;
            let reference = pair / RX * RX + ANTENNA;
            let floor_power = max(pair_sums[reference].x * FLOOR, 1.17549435e-38);
            for (var c = lane; c < COLUMNS; c += LANES) {
                let column = columns[c];
                let source = column.source & ~NEIGHBOUR;
                let h = sample(base_in + pair * SUBCARRIERS + source);
                amplitude[here + c] = select(0.0, sqrt(dot(h, h)) * gain, alive);
                if RATIO {
                    let r = sample(base_in + reference * SUBCARRIERS + source);
                    let scale = 1.0 / max(dot(r, r), floor_power);
                    ratio_re[here + c] = select(0.0, dot(h, r) * scale, alive);
                    ratio_im[here + c] = select(0.0, (h.y * r.x - h.x * r.y) * scale, alive);
                }
                let whole = coarse * column.index;
                let line = fine * column.index + (whole - round(whole));
                rows[own + c] = angle(h.y, h.x) - TAU * line;
            }
        }
        workgroupBarrier();

        // Whole turns: each thread counts those of CHUNK neighbours, then adds what comes before.
        let first = min(lane * CHUNK, COLUMNS);
        let end = min(first + CHUNK, COLUMNS);
        let before = rows[own + max(first, 1u) - 1u];
        var count = 0;
        var last = before;
        for (var c = first; c < end; c += 1u) {
            let now = rows[own + c];
            count += turn(now, last);
            last = now;
        }
        turns[thread] = count;
        for (var step = 1u; step < LANES; step <<= 1u) {
            workgroupBarrier();
            var earlier = 0;
            if lane >= step {
                earlier = turns[thread - step];
            }
            workgroupBarrier();
            turns[thread] += earlier;
        }
        workgroupBarrier();
        var sum = turns[thread] - count;
        last = before;
        for (var c = first; c < end; c += 1u) {
            let now = rows[own + c];
            sum += turn(now, last);
            last = now;
            rows[own + c] = now - TAU * f32(sum);
        }
        workgroupBarrier();

        var acc = vec4f(0.0);
        for (var c = lane; c < COLUMNS; c += LANES) {
            acc.x += columns[c].slope * rows[own + c];
            acc.y += rows[own + c] * (1.0 / f32(COLUMNS));
        }
        sums[thread] = acc;
        reduce(thread, lane);
        let line = sums[row * LANES];
        if pair < PAIRS {
            if SHARED {
                if lane == 0u {
                    lines[pair] = line.xy;
                }
                for (var c = lane; c < COLUMNS; c += LANES) {
                    phase[here + c] = rows[own + c];
                }
            } else {
                for (var c = lane; c < COLUMNS; c += LANES) {
                    let p = rows[own + c] - line.y - columns[c].centred * line.x;
                    phase[here + c] = select(0.0, p, alive);
                }
            }
        }
        workgroupBarrier();
    }

    if SHARED {
        // One line for all; pairs that start whole turns apart from the first are brought to it.
        var slope = 0.0;
        var mean = 0.0;
        for (var pair = 0u; pair < PAIRS; pair += 1u) {
            let line = lines[pair];
            slope += line.x;
            mean += line.y - round((line.y - lines[0].y) * (1.0 / TAU)) * TAU;
        }
        slope /= f32(PAIRS);
        mean /= f32(PAIRS);
        for (var base = 0u; base < PAIRS; base += ROWS) {
            let pair = base + row;
            if pair < PAIRS {
                let offset = round((lines[pair].y - lines[0].y) * (1.0 / TAU)) * TAU + mean;
                let here = to + pair * COLUMNS;
                for (var c = lane; c < COLUMNS; c += LANES) {
                    let p = phase[here + c] - offset - columns[c].centred * slope;
                    phase[here + c] = select(0.0, p, alive);
                }
            }
        }
    }
}
