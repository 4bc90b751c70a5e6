//! A strict CSV reader: one spelling of everything, no quoting, every cell checked. Errors say where, never what was there.
const std = @import("std");
const features = @import("network.zig").features;

pub const Diagnosis = enum { malignant, benign };
pub const Split = enum { train, @"held-out" };

pub const Row = struct {
    id: []const u8,
    diagnosis: ?Diagnosis = null,
    split: ?Split = null,
    values: [features.len]f64,
};

pub const Problem = struct { line: usize = 0, column: usize = 0, what: []const u8 = "" };

/// Set whenever a function here returns error.Malformed.
pub var problem = Problem{};

const max_columns = features.len + 3;
const max_id_length = 64;
const Column = union(enum) { id, split, diagnosis, feature: usize };

pub const Reader = struct {
    lines: std.mem.SplitIterator(u8, .scalar),
    line: usize,
    columns: [max_columns]Column,
    width: usize,

    /// Reads the header: `id`, every feature of the model, and optionally `split` and `diagnosis`, in any order.
    pub fn init(bytes: []const u8) error{Malformed}!Reader {
        var self = Reader{ .lines = std.mem.splitScalar(u8, bytes, '\n'), .line = 0, .columns = undefined, .width = 0 };
        const header = (try self.nextLine()) orelse return refuse(1, 1, "want a header row");
        var cells = std.mem.splitScalar(u8, header, ',');
        while (cells.next()) |cell| {
            if (self.width == max_columns) return refuse(1, self.width + 1, "too many columns");
            const column = columnOf(cell) orelse return refuse(1, self.width + 1, "unknown column name");
            for (self.columns[0..self.width]) |seen| {
                if (std.meta.eql(seen, column)) return refuse(1, self.width + 1, "the column appears twice");
            }
            self.columns[self.width] = column;
            self.width += 1;
        }
        var required: usize = 0;
        for (self.columns[0..self.width]) |column| {
            if (column == .id or column == .feature) required += 1;
        }
        if (required != features.len + 1) return refuse(1, self.width, "the column id or a feature of the model is missing");
        return self;
    }

    pub fn next(self: *Reader) error{Malformed}!?Row {
        const line = (try self.nextLine()) orelse return null;
        var row = Row{ .id = "", .values = undefined };
        var cells = std.mem.splitScalar(u8, line, ',');
        var index: usize = 0;
        while (cells.next()) |cell| : (index += 1) {
            if (index == self.width) return refuse(self.line, index + 1, "more cells than columns");
            const at = index + 1;
            switch (self.columns[index]) {
                .id => row.id = if (isId(cell)) cell else return refuse(self.line, at, "want an id of 1 to 64 letters, digits, '.', '_' or '-'"),
                .split => row.split = std.meta.stringToEnum(Split, cell) orelse return refuse(self.line, at, "want train or held-out"),
                .diagnosis => row.diagnosis = std.meta.stringToEnum(Diagnosis, cell) orelse return refuse(self.line, at, "want malignant or benign"),
                .feature => |feature| row.values[feature] = parseNumber(cell) orelse return refuse(self.line, at, "want a decimal number"),
            }
        }
        if (index != self.width) return refuse(self.line, index, "fewer cells than columns");
        return row;
    }

    /// Null at the end. The last line may or may not end in a line feed; no other line may be empty.
    fn nextLine(self: *Reader) error{Malformed}!?[]const u8 {
        const raw = self.lines.next() orelse return null;
        self.line += 1;
        const line = if (std.mem.endsWith(u8, raw, "\r")) raw[0 .. raw.len - 1] else raw;
        if (line.len > 0) return line;
        if (raw.len == 0 and self.lines.peek() == null) return null;
        return refuse(self.line, 1, "empty line");
    }
};

fn columnOf(cell: []const u8) ?Column {
    if (std.mem.eql(u8, cell, "id")) return .id;
    if (std.mem.eql(u8, cell, "split")) return .split;
    if (std.mem.eql(u8, cell, "diagnosis")) return .diagnosis;
    for (features, 0..) |feature, i| {
        if (std.mem.eql(u8, cell, feature)) return .{ .feature = i };
    }
    return null;
}

fn isId(cell: []const u8) bool {
    if (cell.len == 0 or cell.len > max_id_length) return false;
    for (cell) |c| {
        if (!std.ascii.isAlphanumeric(c) and c != '.' and c != '_' and c != '-') return false;
    }
    return true;
}

/// Sign, digits, optionally a point with digits and an exponent. std.fmt.parseFloat alone would take nan, inf, hex and underscores.
fn parseNumber(cell: []const u8) ?f64 {
    if (cell.len == 0 or cell.len > 32) return null;
    var digits: usize = 0;
    for (cell, 0..) |c, i| switch (c) {
        '0'...'9' => digits += 1,
        '-', '+' => if (i > 0 and cell[i - 1] != 'e' and cell[i - 1] != 'E') return null,
        '.', 'e', 'E' => if (digits == 0) return null,
        else => return null,
    };
    if (!std.ascii.isDigit(cell[cell.len - 1])) return null;
    const value = std.fmt.parseFloat(f64, cell) catch return null;
    return if (std.math.isFinite(value)) value else null;
}

fn refuse(line: usize, column: usize, comptime what: []const u8) error{Malformed} {
    problem = .{ .line = line, .column = column, .what = what };
    return error.Malformed;
}
