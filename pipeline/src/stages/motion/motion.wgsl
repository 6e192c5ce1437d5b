// How much of a window's variation moves: one window a workgroup, streams side by side. See motion.rs.

@group(0) @binding(0) var<storage, read> gains: array<f32>;
@group(0) @binding(1) var<storage, read> amplitude: array<f32>;
// Mean, variance and lagged product of each stream; 1 if it varies.
@group(0) @binding(2) var<storage, read_write> streams: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> results: array<Measured>;

struct Measured {
    share: f32,
    strength: f32,
    total: f32,
    noise_share: f32,
    lag: u32,
    received: u32,
    measured: u32,
    unused: u32,
}

const THREADS: u32 = 128u;
const LAGS: u32 = MAX_LAG + 1u;

var<workgroup> sums: array<vec4f, THREADS>;
var<workgroup> some: array<u32, COMPARED>;
var<workgroup> some_count: u32;

fn reduce(thread: u32) {
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] += sums[thread + half];
        }
    }
    workgroupBarrier();
}

fn got(row: u32, step: u32) -> bool {
    return gains[row * STEPS + step] != 0.0;
}

fn value(row: u32, step: u32, stream: u32) -> f32 {
    return amplitude[(row * STEPS + step) * STREAMS + stream];
}

@compute @workgroup_size(128)
fn motion(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let row = group.x;
    var received = 0u;
    var at: array<u32, LAGS>;
    var most = 0u;
    for (var lag = 1u; lag <= MAX_LAG; lag += 1u) {
        at[lag] = 0u;
    }
    for (var t = 0u; t < STEPS; t += 1u) {
        if got(row, t) {
            received += 1u;
            for (var lag = 1u; lag <= min(MAX_LAG, t); lag += 1u) {
                at[lag] += select(0u, 1u, got(row, t - lag));
            }
        }
    }
    for (var lag = 1u; lag <= MAX_LAG; lag += 1u) {
        most = max(most, at[lag]);
    }
    var lag = 1u;
    while lag < MAX_LAG && 2u * at[lag] < most {
        lag += 1u;
    }
    let pairs = at[lag];
    let count = max(f32(received), 1.0);
    let enough = received >= 3u && pairs >= MIN_PAIRS;

    var sum = vec4f(0.0);
    for (var s = thread; s < STREAMS; s += THREADS) {
        // Sums about a value of its own lose nothing of what is small beside the mean.
        let pivot = value(row, STEPS - 1u, s);
        var mean = 0.0;
        for (var t = 0u; t < STEPS; t += 1u) {
            if got(row, t) {
                mean += value(row, t, s) - pivot;
            }
        }
        mean = pivot + mean / count;
        var variance = 0.0;
        var lagged = 0.0;
        for (var t = 0u; t < STEPS; t += 1u) {
            if got(row, t) {
                let here = value(row, t, s) - mean;
                variance += here * here;
                if t >= lag && got(row, t - lag) {
                    lagged += here * (value(row, t - lag, s) - mean);
                }
            }
        }
        variance /= count;
        lagged /= max(f32(pairs), 1.0);
        let varies = variance > 1e-10 * mean * mean && variance > 0.0;
        streams[row * STREAMS + s] = vec4f(mean, variance, lagged, select(0.0, 1.0, varies));
        if varies {
            sum += vec4f(lagged / variance, lagged, variance, 1.0);
        }
    }
    sums[thread] = sum;
    storageBarrier();
    reduce(thread);
    let total = sums[0];
    let moving = max(total.w, 1.0);

    if thread == 0u {
        let stride = (u32(moving) + COMPARED - 1u) / COMPARED;
        var seen = 0u;
        var n = 0u;
        for (var s = 0u; s < STREAMS; s += 1u) {
            if streams[row * STREAMS + s].w != 0.0 {
                if seen % stride == 0u && n < COMPARED {
                    some[n] = s;
                    n += 1u;
                }
                seen += 1u;
            }
        }
        some_count = n;
    }
    workgroupBarrier();

    let n = some_count;
    var squares = 0.0;
    for (var pair = thread; pair < n * n; pair += THREADS) {
        let i = pair / n;
        let j = pair % n;
        if j < i {
            let a = streams[row * STREAMS + some[i]];
            let b = streams[row * STREAMS + some[j]];
            var product = 0.0;
            for (var t = 0u; t < STEPS; t += 1u) {
                if got(row, t) {
                    product += (value(row, t, some[i]) - a.x) * (value(row, t, some[j]) - b.x);
                }
            }
            let correlation = product / count / sqrt(a.y * b.y);
            // Correlations of independent noise are not zero: their squares are 1 / count on average.
            squares += 2.0 * max(correlation * correlation - 1.0 / count, 0.0);
        }
    }
    sums[thread] = vec4f(squares, 0.0, 0.0, 0.0);
    reduce(thread);

    if thread == 0u {
        let compared = f32(n);
        let independent = compared * compared / max(compared + sums[0].x, 1.0);
        var out: Measured;
        out.share = total.x / moving;
        out.strength = sqrt(max(total.y / moving, 0.0));
        out.total = sqrt(total.z / moving);
        out.noise_share = 1.0 / sqrt(max(f32(pairs) * independent, 1e-9));
        out.lag = lag;
        out.received = received;
        out.measured = select(0u, 1u, enough && total.w > 0.0);
        results[row] = out;
    }
}
