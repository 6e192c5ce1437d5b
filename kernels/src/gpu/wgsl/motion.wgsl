// First-lag autocorrelation of power over time: `streams` sums up the streams of a workgroup, `finish` the workgroups
// of a window.

@group(0) @binding(0) var<storage, read> gains: array<f32>;
@group(0) @binding(1) var<storage, read> amplitude: array<f32>;
// Sum and count of each workgroup of `streams`.
@group(0) @binding(2) var<storage, read_write> parts: array<vec2f>;
// The statistic, and 1 where it could be measured.
@group(0) @binding(3) var<storage, read_write> motion: array<vec2f>;

var<workgroup> sums: array<vec2f, 64>;

fn reduce(thread: u32) {
    for (var half = 32u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] += sums[thread + half];
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(64)
fn streams(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let stream = group.x * 64u + thread;
    let first = group.y * STEPS;
    var result = vec2f(0.0);
    if stream < STREAMS {
        // Sums about the first value lose nothing of what is small beside the mean.
        var pivot = 0.0;
        var count = 0.0;
        var pairs = 0.0;
        var sum = 0.0;
        var previous = false;
        for (var t = 0u; t < STEPS; t += 1u) {
            let got = gains[first + t] != 0.0;
            if got {
                let a = amplitude[(first + t) * STREAMS + stream];
                let power = a * a;
                if count == 0.0 {
                    pivot = power;
                }
                count += 1.0;
                sum += power - pivot;
                pairs += select(0.0, 1.0, previous);
            }
            previous = got;
        }
        if count >= 3.0 && pairs > 0.0 {
            let mean = sum / count;
            var variance = 0.0;
            var lagged = 0.0;
            var before = 0.0;
            for (var t = 0u; t < STEPS; t += 1u) {
                var now = 0.0;
                if gains[first + t] != 0.0 {
                    let a = amplitude[(first + t) * STREAMS + stream];
                    now = a * a - pivot - mean;
                    variance += now * now;
                    lagged += now * before;
                }
                before = now;
            }
            let whole = pivot + mean;
            if variance > 1e-12 * whole * whole * count {
                result = vec2f(lagged / variance * ((count - 1.0) / pairs), 1.0);
            }
        }
    }
    sums[thread] = result;
    reduce(thread);
    if thread == 0u {
        parts[group.y * GROUPS + group.x] = sums[0];
    }
}

@compute @workgroup_size(64)
fn finish(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    var sum = vec2f(0.0);
    for (var i = thread; i < GROUPS; i += 64u) {
        sum += parts[group.x * GROUPS + i];
    }
    sums[thread] = sum;
    reduce(thread);
    if thread == 0u {
        let used = sums[0].y;
        motion[group.x] = vec2f(sums[0].x / max(used, 1.0), select(0.0, 1.0, used > 0.0));
    }
}
