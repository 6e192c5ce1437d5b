// The network's features of one step of one link, from its packed samples: `Moments::of`, then `Moments::write_deviation`.

@group(0) @binding(0) var<storage, read> samples: array<u32>;
// Of each link: HEADER words, for each step the grid step of its packet and whether it is a new one, the quiet room's moments.
@group(0) @binding(1) var<storage, read> jobs: array<u32>;
@group(0) @binding(2) var<storage, read_write> features: array<f32>;

const HEADER: u32 = 5u;
const HELD: u32 = 0x80000000u;
const NOTHING: u32 = 0xffffffffu;
const BANDS: u32 = ANTENNAS * BINS;
const JOB: u32 = HEADER + STEPS + 2u * PAIRS * BINS + BANDS;
const FEATURES: u32 = 2u * PAIRS * BINS + BANDS + 1u;

var<workgroup> powers: array<f32, BANDS>;
var<workgroup> means: array<f32, BANDS>;
var<workgroup> filled: array<f32, BANDS>;

struct Span {
    first: u32,
    end: u32,
}

fn span(bin: u32, subcarriers: u32) -> Span {
    let first = bin * subcarriers / BINS;
    return Span(first, min(max((bin + 1u) * subcarriers / BINS, first + 1u), subcarriers));
}

fn asinh_of(x: f32) -> f32 {
    let size = abs(x);
    // Below this the logarithm loses more than the series leaves out.
    let near = size * (1.0 - size * size / 6.0);
    return sign(x) * select(log(size + sqrt(size * size + 1.0)), near, size < 0.01);
}

fn usable(v: vec2f) -> bool {
    return !unsound(bitcast<u32>(v.x)) && !unsound(bitcast<u32>(v.y));
}

@compute @workgroup_size(64)
fn link_features(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let job = group.y * JOB;
    let start = jobs[job];
    let subcarriers = jobs[job + 1u];
    let antennas = jobs[job + 2u];
    let packet_values = jobs[job + 3u];
    let source = jobs[job + HEADER + group.x];
    let quiet = job + HEADER + STEPS;
    let out = (jobs[job + 4u] * STEPS + group.x) * FEATURES;
    let packet = start + (source & ~HELD) * packet_values;
    let nothing = source == NOTHING;

    if thread < BANDS {
        let antenna = thread / BINS;
        var sum = 0.0;
        var count = 0.0;
        if !nothing && antenna < antennas {
            let s = span(thread % BINS, subcarriers);
            for (var c = s.first; c < s.end; c += 1u) {
                let h = sample(packet + antenna * subcarriers + c);
                let power = dot(h, h);
                if !unsound(bitcast<u32>(power)) && power > 0.0 {
                    sum += power;
                    count += 1.0;
                }
            }
        }
        powers[thread] = sum;
        means[thread] = sum / max(count, 1.0);
        filled[thread] = select(0.0, 1.0, count > 0.0);
    }
    workgroupBarrier();

    var total = 0.0;
    var bands = 0.0;
    for (var i = 0u; i < BANDS; i += 1u) {
        total += means[i];
        bands += filled[i];
    }
    let alive = bands > 0.0 && !unsound(bitcast<u32>(total));
    let scale = select(0.0, inverseSqrt(max(total / max(bands, 1.0), 1.17549435e-38)), alive);

    if thread < BANDS {
        let before = bitcast<f32>(jobs[quiet + 2u * PAIRS * BINS + thread]);
        let now = sqrt(means[thread]) * scale;
        let value = asinh_of(GAIN * (now - before) / max(before, LEAST_AMPLITUDE));
        features[out + 2u * PAIRS * BINS + thread] = select(value, 0.0, nothing);
    }
    // As many threads again, for the pairs.
    for (var i = thread; i < PAIRS * BINS; i += 64u) {
        let pair = i / BINS;
        let bin = i % BINS;
        let k = (PAIR_FIRST >> (8u * pair)) & 255u;
        let j = (PAIR_SECOND >> (8u * pair)) & 255u;
        var product = vec2f(0.0);
        if !nothing && alive && k < antennas {
            let s = span(bin, subcarriers);
            for (var c = s.first; c < s.end; c += 1u) {
                let a = sample(packet + k * subcarriers + c);
                let b = sample(packet + j * subcarriers + c);
                let p = vec2f(dot(a, b), a.y * b.x - a.x * b.y);
                if usable(p) {
                    product += p;
                }
            }
            let norm = powers[k * BINS + bin] + powers[j * BINS + bin];
            if norm > 0.0 && !unsound(bitcast<u32>(norm)) {
                product *= 2.0 / norm;
            } else {
                product = vec2f(0.0);
            }
        }
        let q = vec2f(bitcast<f32>(jobs[quiet + 2u * i]), bitcast<f32>(jobs[quiet + 2u * i + 1u]));
        let reach = sqrt(dot(q, q));
        let unit = select(vec2f(1.0, 0.0), q / max(reach, 1e-9), reach > 1e-9);
        let d = product - q;
        let turned = vec2f(dot(d, unit), d.y * unit.x - d.x * unit.y);
        let size = sqrt(dot(turned, turned));
        let stretch = select(GAIN, asinh_of(GAIN * size) / max(size, 1e-9), size > 1e-9);
        let at = out + pair * 2u * BINS + bin;
        features[at] = select(turned.x * stretch, 0.0, nothing);
        features[at + BINS] = select(turned.y * stretch, 0.0, nothing);
    }
    if thread == 0u {
        features[out + FEATURES - 1u] = select(1.0, 0.0, nothing || (source & HELD) != 0u);
    }
}
