"""The shipped pose network beside the same weights in ONNX Runtime, on this machine and on the same numbers.

    pip install -r benches/network/requirements.txt
    python benches/network/onnx_runtime.py [--threads 2] [--bench COMMAND]

Runs `cargo bench -p invispose-benches --bench network` (or COMMAND, a bench that was built before) and ONNX Runtime by turns.
Checks that both see the likeliest person's nose of 32 windows in the same place, and prints for batches of 1, 8 and 32 the median
time of a batch, windows per second, and the ratio.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from safetensors import safe_open

LINKS, BLOCKS, MERGE, SLOTS = 3, 10, 2, 3


def window(number, features, fixed):
    value = lambda i: ((i * 7919 + number * 104_729) % 1000).astype(np.float32) / np.float32(500) - np.float32(1)
    return (
        np.stack([value(np.arange(BLOCKS * features) + 31 * l).reshape(BLOCKS, features) for l in range(LINKS)]),
        np.stack([value(3 * np.arange(fixed) + 17 * l) for l in range(LINKS)]),
    )


def graph(weights):
    """`PoseNetwork::forward` of models/src/network.rs."""
    nodes, constants = [], [helper.make_tensor(k, TensorProto.FLOAT, v.shape, v.ravel()) for k, v in weights.items()]

    def node(kind, *inputs, **attributes):
        name = f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def shape(*numbers):
        name = f"c{len(constants)}"
        constants.append(helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers))
        return name

    def linear(name, x):
        return node("Add", node("MatMul", x, f"{name}.weight"), f"{name}.bias")

    constants.append(helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]))
    known = node("Relu", linear("fixed", "fixed_in"))

    def modulated(name, x):
        both = linear(f"{name}_modulation", known)
        width = weights[f"{name}.bias"].shape[0]
        part = lambda a: node("Reshape", node("Slice", both, shape(a * width), shape((a + 1) * width), shape(1)), shape(-1, 1, width))
        return node("Relu", node("Add", node("Mul", linear(name, x), node("Add", part(0), "one")), part(1)))

    code = modulated("block", modulated("encode", "features"))
    width = weights["block.bias"].shape[0]
    site = node("MatMul", "gather", node("Reshape", code, shape(-1, BLOCKS * width)))
    span = node("Relu", linear("span", node("Reshape", site, shape(-1, BLOCKS // MERGE, MERGE * width))))
    span = node("Concat", span, linear("trail", span), axis=2)
    x = linear("trunk", node("Reshape", span, shape(-1, weights["trunk.weight"].shape[0])))
    norm = node("LayerNormalization", x, "trunk_block.norm.gamma", "trunk_block.norm.beta", epsilon=1e-5)
    x = node("Add", x, linear("trunk_block.outer", node("Relu", linear("trunk_block.inner", norm))))
    out = linear("head", node("Relu", x))
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    sizes = [weights["encode.weight"].shape[0], weights["fixed.weight"].shape[0]]
    inputs = [value("features", ["links", BLOCKS, sizes[0]]), value("fixed_in", ["links", sizes[1]]), value("gather", ["windows", "links"])]
    whole = helper.make_graph(nodes, "pose", inputs, [value(out, ["windows", weights["head.bias"].shape[0]])], constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def runtime(session, sizes, batch, seconds):
    """Median seconds of a batch, and its answers."""
    features, fixed = (np.concatenate(p) for p in zip(*(window(n, *sizes) for n in range(batch))))
    gather = np.kron(np.eye(batch, dtype=np.float32), np.full((1, LINKS), 1 / LINKS, np.float32))
    feed = {"features": features, "fixed_in": fixed, "gather": gather}
    slots = session.run(None, feed)[0].reshape(batch, SLOTS, -1)
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    return float(np.median(times)), slots


def bench(command, threads):
    """Median seconds by size of batch, and noses, as the bench prints them."""
    env = dict(os.environ, **({"RAYON_NUM_THREADS": str(threads)} if threads else {}))
    text = subprocess.run(shlex.split(command), env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
    units = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    times = re.findall(r"network/(\d+)\s+time:\s+\[\S+ \S+ (\S+) (\S+) \S+ \S+\]", text)
    noses = re.findall(r"nose of window (\d+): \[(.*)\]", text)
    return (
        {int(batch): float(value) * units[unit] for batch, value, unit in times},
        np.array([[float(v) for v in nose.split(",")] for _, nose in noses]),
    )


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    arguments.add_argument("--bench", default="cargo bench -p invispose-benches --bench network -- --measurement-time 3")
    arguments = arguments.parse_args()
    with safe_open("models/weights/pose.safetensors", "np") as file:
        # Kept in half precision; both compute in single precision.
        weights = {k: file.get_tensor(k).astype(np.float32) for k in file.keys()}
        card = json.loads(file.metadata()["invispose_card"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(graph(weights), options, ["CPUExecutionProvider"])
    sizes = weights["encode.weight"].shape[0], weights["fixed.weight"].shape[0]
    before = {batch: runtime(session, sizes, batch, 2)[0] for batch in [1, 8, 32]}
    ours, noses = bench(arguments.bench, arguments.threads)
    print(f"{card['name']} {card['version']}, ONNX Runtime {onnxruntime.__version__}, medians")
    print("batch | invispose: ms, windows/s | ONNX Runtime: ms, windows/s | times as fast")
    for batch in [1, 8, 32]:
        after, slots = runtime(session, sizes, batch, 2)
        # The machine may have been busier before or after.
        theirs = min(before[batch], after)
        mine = ours[batch]
        print(
            f"{batch:5} | {mine * 1e3:.3f}, {batch / mine:.0f} | {theirs * 1e3:.3f}, {batch / theirs:.0f} | {theirs / mine:.2f}"
        )
    best = slots[np.arange(32), slots[:, :, 0].argmax(1)]
    away = np.abs([3.0, 2.5, 0.0] + 1.5 * best[:, 1:4] + 0.5 * best[:, 5:8] - noses).max()
    print(f"noses of 32 windows are at most {away * 1e3:.2f} mm apart")
    if away > 1e-3:
        sys.exit("the answers differ")


main()
