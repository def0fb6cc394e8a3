"""Layers of networks in plain float64, written for being read: what faster ones are compared with."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pair = tuple[int, int]


def conv(x: Floats, weight: Floats, bias: Floats | None, stride: Pair, padding: int) -> Floats:
    """x (B, C, H, W), weight (out, in, rows, columns)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = weight.shape[2:]
    high = (x.shape[2] - rows) // stride[0] + 1
    wide = (x.shape[3] - columns) // stride[1] + 1
    out = np.zeros((x.shape[0], weight.shape[0], high, wide))
    for row in range(rows):
        for column in range(columns):
            seen = x[
                :, :, row : row + high * stride[0] : stride[0], column : column + wide * stride[1] : stride[1]
            ]
            out += np.moveaxis(np.tensordot(weight[:, :, row, column], seen, axes=(1, 1)), 0, 1)
    return out if bias is None else out + bias[:, None, None]


def transposed_conv(x: Floats, weight: Floats, bias: Floats, stride: int, padding: int) -> Floats:
    """x (B, C, H, W), weight (in, out, rows, columns): every pixel is spread out, and what overlaps added.

    With an output padding of 1 where the stride is 2.
    """
    more = stride - 1
    rows, columns = weight.shape[2:]
    high, wide = (x.shape[2] - 1) * stride + rows, (x.shape[3] - 1) * stride + columns
    whole = np.zeros((x.shape[0], weight.shape[1], high + more, wide + more))
    for row in range(rows):
        for column in range(columns):
            spread = np.moveaxis(np.tensordot(weight[:, :, row, column], x, axes=(0, 1)), 0, 1)
            whole[
                :, :, row : row + x.shape[2] * stride : stride, column : column + x.shape[3] * stride : stride
            ] += spread
    inner = whole[:, :, padding : whole.shape[2] - padding, padding : whole.shape[3] - padding]
    return inner + bias[:, None, None]


def batch_norm(x: Floats, state: dict[str, Floats], name: str) -> Floats:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scale = state[f"{name}.weight"] / np.sqrt(variance + 1e-5)
    return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]


def relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def sigmoid(x: Floats) -> Floats:
    return 0.5 + 0.5 * np.tanh(x / 2)


def halved(x: Floats) -> Floats:
    """The largest of every 2 x 2 pixels."""
    high, wide = x.shape[2] // 2, x.shape[3] // 2
    return x[:, :, : 2 * high, : 2 * wide].reshape(*x.shape[:2], high, 2, wide, 2).max(axis=(3, 5))
