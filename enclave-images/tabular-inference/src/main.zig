//! Classifies the rows of one CSV file with a small neural network. Reads /in/<file> (argument 1 names it, `data.csv`
//! without one), writes /out/predictions.csv and /out/summary.json, prints one line. Exit codes: 0 done, 1 a file could
//! not be read or written, 2 malformed input. The same source is compiled to wasm32-wasi and to x86_64-linux-musl.
const std = @import("std");
const builtin = @import("builtin");
const network = @import("network.zig");
const report = @import("report.zig");
const table = @import("table.zig");

const max_input_bytes = 64 * 1024 * 1024;
const allocator = std.heap.page_allocator;

const Failure = error{ Usage, Malformed, Unreadable, Unwritable };

pub fn main() u8 {
    run() catch |failure| return switch (failure) {
        error.Usage, error.Malformed => 2,
        error.Unreadable, error.Unwritable => 1,
    };
    return 0;
}

fn run() Failure!void {
    const bytes = try readInput(try inputName());
    var rows = table.Reader.init(bytes) catch return malformed(&table.problem);
    var predictions = std.ArrayList(u8).init(allocator);
    var totals = report.Totals{};
    report.header(&predictions) catch return outOfMemory();
    while (rows.next() catch return malformed(&table.problem)) |row| {
        const probability = network.probability(row.values);
        const positive = probability >= network.threshold;
        totals.count(row, positive);
        report.prediction(&predictions, row.id, probability, positive) catch return outOfMemory();
    }
    if (totals.rows == 0) return fail(error.Malformed, "the input has no rows");
    var summary = std.ArrayList(u8).init(allocator);
    totals.writeJson(&summary) catch return outOfMemory();
    try writeOutputs(predictions.items, summary.items);
    print(.out, "{d} rows: {d} malignant, {d} benign\n", .{ totals.rows, totals.malignant, totals.rows - totals.malignant });
}

/// Only a plain file directly under /in: no folders, no dot paths.
fn inputName() Failure![]const u8 {
    const args = std.process.argsAlloc(allocator) catch return outOfMemory();
    if (args.len > 2) return fail(error.Usage, "want at most one argument: a file under /in");
    if (args.len < 2) return "data.csv";
    const prefix = "/in/";
    const name = if (std.mem.startsWith(u8, args[1], prefix)) args[1][prefix.len..] else "";
    const plain = name.len > 0 and name[0] != '.' and std.mem.indexOfScalar(u8, name, '/') == null;
    return if (plain) name else fail(error.Usage, "the argument must be /in/ and a file name");
}

fn readInput(name: []const u8) Failure![]const u8 {
    const dir = openDir("/in") orelse return fail(error.Unreadable, "there is no /in");
    return dir.readFileAlloc(allocator, name, max_input_bytes) catch |cause| switch (cause) {
        error.FileNotFound => fail(error.Unreadable, "the input file does not exist"),
        error.FileTooBig => fail(error.Malformed, "the input is larger than 64 MiB"),
        else => fail(error.Unreadable, "the input file cannot be read"),
    };
}

fn writeOutputs(predictions: []const u8, summary: []const u8) Failure!void {
    const dir = openDir("/out") orelse return fail(error.Unwritable, "there is no /out");
    dir.writeFile("predictions.csv", predictions) catch return fail(error.Unwritable, "predictions.csv cannot be written");
    dir.writeFile("summary.json", summary) catch return fail(error.Unwritable, "summary.json cannot be written");
}

fn openDir(comptime path: []const u8) ?std.fs.Dir {
    if (builtin.os.tag == .wasi) {
        const preopens = std.fs.wasi.preopensAlloc(allocator) catch return null;
        return .{ .fd = preopens.find(path) orelse return null };
    }
    return std.fs.openDirAbsolute(path, .{}) catch null;
}

fn malformed(problem: *const table.Problem) Failure {
    print(.err, "input line {d}, column {d}: {s}\n", .{ problem.line, problem.column, problem.what });
    return error.Malformed;
}

fn outOfMemory() Failure {
    return fail(error.Unreadable, "not enough memory");
}

fn fail(failure: Failure, comptime message: []const u8) Failure {
    print(.err, message ++ "\n", .{});
    return failure;
}

fn print(comptime to: enum { out, err }, comptime format: []const u8, args: anytype) void {
    const file = if (to == .out) std.io.getStdOut() else std.io.getStdErr();
    file.writer().print(format, args) catch {};
}

/// A failed safety check ends the program; its message holds no value from the data.
pub fn panic(message: []const u8, trace: ?*std.builtin.StackTrace, address: ?usize) noreturn {
    _ = .{ trace, address };
    print(.err, "internal error: {s}\n", .{message});
    std.process.abort();
}
