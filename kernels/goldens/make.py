#!/usr/bin/env python3
"""Writes the reference values that kernels/tests/goldens.rs compares with.

Run in any directory; needs numpy and scipy. The inputs are made by the generator below from fixed seeds and stored next to the
results, so the Rust side reads both and shares no code with this script.

A golden file is text: each array is a line `name len`, then one line of its values in row-major order; complex arrays are stored as
`name.re` and `name.im`.
"""

import pathlib

import numpy as np
from scipy import signal

HERE = pathlib.Path(__file__).parent
INTEL_20 = np.r_[-28:-1:2, -1, 1:28:2, 28].astype(float)


def write(name, **arrays):
    lines = []
    for key, value in arrays.items():
        value = np.asarray(value)
        parts = {key + ".re": value.real, key + ".im": value.imag} if np.iscomplexobj(value) else {key: value}
        for part, numbers in parts.items():
            numbers = np.ravel(numbers)
            lines += [f"{part} {numbers.size}", " ".join(f"{x:.9g}" for x in numbers)]
    (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n")


def f32(x):
    """What the Rust side will hold."""
    return x.astype(np.complex64 if np.iscomplexobj(x) else np.float32)


def multipath(rng, index, spacing_hz, pairs, paths=4):
    out = np.zeros((pairs, index.size), complex)
    for p in range(paths):
        gain = rng.normal() + 1j * rng.normal()
        delay = rng.uniform(0, 120e-9)
        for pair in range(pairs):
            turn = np.exp(1j * rng.uniform(-1, 1)) * gain * 0.5**p
            out[pair] += turn * np.exp(-2j * np.pi * index * spacing_hz * delay)
    return out


def line(phase, index):
    slope, offset = np.polyfit(index, phase, 1)
    return phase - slope * index - offset


def sanitise():
    rng = np.random.default_rng(1)
    csi = f32(multipath(rng, INTEL_20, 312.5e3, 3))
    single = np.array([line(np.unwrap(np.angle(row.astype(complex))), INTEL_20) for row in csi])
    unwrapped = np.unwrap(np.angle(csi.astype(complex)), axis=1)
    # Pairs to within half a turn of the first, as the mean phases say.
    unwrapped -= 2 * np.pi * np.round((unwrapped.mean(1) - unwrapped[0].mean()) / (2 * np.pi))[:, None]
    rows = np.tile(INTEL_20, 3)
    design = np.c_[rows, np.ones_like(rows)]
    fit = np.linalg.lstsq(design, unwrapped.ravel(), rcond=None)[0]
    common = unwrapped.ravel() - design @ fit
    write("phase", index=INTEL_20, csi=csi, linear=single, spotfi=common)


def doppler():
    rng = np.random.default_rng(2)
    rate, n, hop = 100.0, 57, 16
    t = np.arange(200) / rate
    x = 3 + 2j + np.exp(2j * np.pi * 12.3 * t) + 0.5 * np.exp(-2j * np.pi * 31.0 * t)
    x = f32(x + 0.1 * (rng.normal(size=200) + 1j * rng.normal(size=200)))
    _, _, z = signal.stft(x.astype(complex), rate, signal.get_window("hann", n), n, n - hop, detrend="constant",
                          return_onesided=False, boundary=None, padded=False, scaling="psd")
    power = np.fft.fftshift(np.abs(z.T) ** 2, axes=1) * rate
    write("doppler", shape=[n, hop], x=x, power=power)


def pca():
    rng = np.random.default_rng(3)
    steps, streams, k = 80, 56, 4
    x = np.zeros((steps, streams))
    for scale in (5.0, 3.0, 1.7, 0.9):
        x += scale * np.outer(rng.normal(size=steps), rng.normal(size=streams))
    x = f32(x + 0.05 * rng.normal(size=x.shape) + rng.uniform(2, 9, streams))
    centred = x.astype(float) - x.astype(float).mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    axes = vt[:k] * np.sign(vt[np.arange(k), np.abs(vt[:k]).argmax(1)])[:, None]
    write("pca", shape=[steps, streams, k], x=x, components=axes, variances=s[:k] ** 2 / (steps - 1),
          scores=axes @ centred.T)


def butterworth():
    rng = np.random.default_rng(4)
    x = f32(rng.normal(size=300).cumsum())
    out = {"x": x}
    for order, low, high, rate in ((2, 0.1, 0.6, 20.0), (4, 2.0, 40.0, 100.0), (3, 0.3, 30.0, 1000.0), (1, 5.0, 49.0, 100.0)):
        sos = signal.butter(order, [low, high], "bandpass", fs=rate, output="sos")
        name = f"n{order}"
        omega = np.linspace(0.001, np.pi - 0.001, 64)
        z1 = np.exp(-1j * omega)
        h = np.prod([(s[0] + s[1] * z1 + s[2] * z1**2) / (s[3] + s[4] * z1 + s[5] * z1**2) for s in sos], axis=0)
        out |= {f"{name}.design": [order, low, high, rate], f"{name}.omega": omega, f"{name}.response": h,
                f"{name}.filtered": signal.sosfilt(sos, x.astype(float))}
    write("butterworth", **out)


def hampel():
    rng = np.random.default_rng(5)
    x = np.sin(np.arange(150) / 9) + 0.05 * rng.normal(size=150)
    x[[4, 40, 41, 90, 149]] += [3, -4, 5, 2, -3]
    x = f32(x)
    out = x.astype(float).copy()
    half, sigmas = 5, 3.0
    for i in range(x.size):
        window = x[max(0, i - half):i + half + 1].astype(float)
        middle = np.median(window)
        if abs(x[i] - middle) > sigmas * 1.4826 * np.median(np.abs(window - middle)):
            out[i] = middle
    write("hampel", shape=[half, sigmas], x=x, filtered=out)


if __name__ == "__main__":
    for make in (sanitise, doppler, pca, butterworth, hampel):
        make()
