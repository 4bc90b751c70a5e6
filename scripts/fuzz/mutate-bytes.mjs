const INTERESTING = [0, 1, 2, 3, 4, 5, 6, 7, 0x10, 0x20, 0x40, 0x7f, 0x80, 0x81, 0xff]
const INTERESTING_WIDE = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]

/** One small change to bytes of any kind. `donor` is another input. */
export function mutateBytes(input, random, { donor, words, maxSize }) {
  const change = random.pick(CHANGES)
  return change(input.length === 0 ? random.bytes(1 + random.below(8)) : input, random, donor, words).subarray(0, maxSize)
}

const CHANGES = [
  flipBit,
  setByte,
  setByte,
  addToByte,
  setInteger,
  setInteger,
  cut,
  cut,
  truncate,
  copyWithin,
  repeat,
  insert,
  splice,
  word,
  word,
  swap,
]

function edited(input, edit) {
  const out = input.slice()
  edit(out)
  return out
}

function spliced(input, from, to, middle) {
  const out = new Uint8Array(from + middle.length + input.length - to)
  out.set(input.subarray(0, from))
  out.set(middle, from)
  out.set(input.subarray(to), from + middle.length)
  return out
}

/** Where a piece of `bytes` begins and ends: short pieces are the more likely. */
function piece(bytes, random) {
  const size = Math.min(bytes.length, 1 + random.below(1 << random.below(10)))
  const from = random.below(bytes.length - size + 1)
  return [from, from + size]
}

function flipBit(input, random) {
  return edited(input, (out) => {
    out[random.below(out.length)] ^= 1 << random.below(8)
  })
}

function setByte(input, random) {
  return edited(input, (out) => {
    out[random.below(out.length)] = random.chance(50) ? random.below(256) : random.pick(INTERESTING)
  })
}

function addToByte(input, random) {
  return edited(input, (out) => {
    out[random.below(out.length)] += random.chance(50) ? 1 : -1
  })
}

/** Lengths, counts and offsets are integers of two or four bytes, in either order. */
function setInteger(input, random) {
  const size = random.chance(50) ? 2 : 4
  if (input.length < size) return setByte(input, random)
  return edited(input, (out) => {
    const at = random.below(out.length - size + 1)
    const littleEndian = random.chance(60)
    const view = new DataView(out.buffer, out.byteOffset)
    const read = size === 2 ? view.getUint16(at, littleEndian) : view.getUint32(at, littleEndian)
    const value = random.chance(50) ? random.pick(INTERESTING_WIDE) : read + random.below(9) - 4
    if (size === 2) view.setUint16(at, value, littleEndian)
    else view.setUint32(at, value, littleEndian)
  })
}

function cut(input, random) {
  const [from, to] = piece(input, random)
  return spliced(input, from, to, new Uint8Array(0))
}

function truncate(input, random) {
  return input.slice(0, random.below(input.length))
}

function copyWithin(input, random) {
  const [from, to] = piece(input, random)
  const at = random.below(input.length + 1)
  return spliced(input, at, random.chance(50) ? at : Math.min(input.length, at + to - from), input.slice(from, to))
}

/** What is quadratic shows with many of one thing. */
function repeat(input, random) {
  const [from, to] = piece(input, random)
  const times = 1 + random.below(1 << random.below(12))
  const many = new Uint8Array(Math.min(times * (to - from), 1 << 16))
  for (let i = 0; i < many.length; i++) many[i] = input[from + (i % (to - from))]
  return spliced(input, to, to, many)
}

function insert(input, random) {
  const at = random.below(input.length + 1)
  return spliced(input, at, at, random.bytes(1 + random.below(16)))
}

function splice(input, random, donor) {
  if (donor.length === 0) return input
  const [from, to] = piece(donor, random)
  const at = random.below(input.length + 1)
  const end = random.chance(50) ? at : Math.min(input.length, at + to - from)
  return spliced(input, at, end, donor.subarray(from, to))
}

function word(input, random, _, words) {
  const text = Buffer.from(random.pick(words))
  const at = random.below(input.length + 1)
  return spliced(input, at, random.chance(50) ? at : Math.min(input.length, at + text.length), text)
}

function swap(input, random) {
  const [from, to] = piece(input, random)
  const other = random.below(input.length - (to - from) + 1)
  return edited(input, (out) => {
    out.set(input.subarray(other, other + to - from), from)
    out.set(input.subarray(from, to), other)
  })
}
