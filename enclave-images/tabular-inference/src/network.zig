//! The network: standardize, one hidden ReLU layer, one sigmoid. IEEE double throughout, no fused or reordered sums, so
//! WebAssembly and x86-64 agree to the last bit.
const std = @import("std");
const model = @import("model.zig"); // generated from ../model/model.json by build.mjs

pub const features = model.features;
pub const threshold: f64 = model.threshold;
pub const name = model.name;

pub fn probability(values: [features.len]f64) f64 {
    var x: [features.len]f64 = undefined;
    for (&x, values, model.mean, model.scale) |*out, value, mean, scale| out.* = (value - mean) / scale;
    var z: f64 = model.output_bias;
    for (model.hidden_weights, model.hidden_bias, model.output_weights) |row, bias, weight| {
        var sum: f64 = bias;
        for (row, x) |w, v| sum += w * v;
        if (sum > 0) z += weight * sum;
    }
    return 1 / (1 + std.math.exp(-z));
}
