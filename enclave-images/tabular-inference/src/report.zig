//! What goes to /out: fixed decimals made from integers, so that the text is the same on every machine.
const std = @import("std");
const network = @import("network.zig");
const table = @import("table.zig");

const Bytes = std.ArrayList(u8);

pub fn header(out: *Bytes) !void {
    try out.appendSlice("id,probability,class\n");
}

pub fn prediction(out: *Bytes, id: []const u8, probability: f64, positive: bool) !void {
    try out.appendSlice(id);
    try out.append(',');
    try decimal(out, probability);
    try out.appendSlice(if (positive) ",malignant\n" else ",benign\n");
}

/// How the predictions compare with the diagnoses in the input, "positive" meaning malignant.
const Confusion = struct {
    true_positives: usize = 0,
    false_positives: usize = 0,
    true_negatives: usize = 0,
    false_negatives: usize = 0,

    fn count(self: *Confusion, diagnosis: table.Diagnosis, positive: bool) void {
        switch (diagnosis) {
            .malignant => if (positive) {
                self.true_positives += 1;
            } else {
                self.false_negatives += 1;
            },
            .benign => if (positive) {
                self.false_positives += 1;
            } else {
                self.true_negatives += 1;
            },
        }
    }

    fn writeJson(self: Confusion, out: *Bytes, comptime key: []const u8) !void {
        const positives = self.true_positives + self.false_negatives;
        const negatives = self.true_negatives + self.false_positives;
        try out.appendSlice("  \"" ++ key ++ "\": ");
        if (positives + negatives == 0) return out.appendSlice("null");
        const form = "{{ \"rows\": {d}, \"truePositives\": {d}, \"falsePositives\": {d}, \"trueNegatives\": {d}, \"falseNegatives\": {d}";
        try out.writer().print(form, .{ positives + negatives, self.true_positives, self.false_positives, self.true_negatives, self.false_negatives });
        try ratio(out, "accuracy", self.true_positives + self.true_negatives, positives + negatives);
        try ratio(out, "sensitivity", self.true_positives, positives);
        try ratio(out, "specificity", self.true_negatives, negatives);
        try out.appendSlice(" }");
    }
};

pub const Totals = struct {
    rows: usize = 0,
    malignant: usize = 0,
    labelled: Confusion = .{},
    held_out: Confusion = .{},

    pub fn count(self: *Totals, row: table.Row, positive: bool) void {
        self.rows += 1;
        if (positive) self.malignant += 1;
        const diagnosis = row.diagnosis orelse return;
        self.labelled.count(diagnosis, positive);
        if (row.split == table.Split.@"held-out") self.held_out.count(diagnosis, positive);
    }

    pub fn writeJson(self: Totals, out: *Bytes) !void {
        const form = "{{\n  \"model\": \"" ++ network.name ++ "\",\n  \"rows\": {d},\n  \"malignant\": {d},\n  \"benign\": {d},\n";
        try out.writer().print(form, .{ self.rows, self.malignant, self.rows - self.malignant });
        try self.labelled.writeJson(out, "labelled");
        try out.appendSlice(",\n");
        try self.held_out.writeJson(out, "heldOut");
        try out.appendSlice("\n}\n");
    }
};

fn ratio(out: *Bytes, comptime key: []const u8, part: usize, whole: usize) !void {
    try out.appendSlice(", \"" ++ key ++ "\": ");
    if (whole == 0) return out.appendSlice("null");
    try decimal(out, @as(f64, @floatFromInt(part)) / @as(f64, @floatFromInt(whole)));
}

/// 0 to 1 with six decimals.
fn decimal(out: *Bytes, value: f64) !void {
    const millionths: u32 = @intFromFloat(@round(value * 1_000_000));
    try out.writer().print("{d}.{d:0>6}", .{ millionths / 1_000_000, millionths % 1_000_000 });
}
