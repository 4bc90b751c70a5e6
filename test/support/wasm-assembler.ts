/**
 * Writes small WASI commands by hand, so that tests need no compiler: a list of calls and a little control flow as the
 * body of `_start`. Binary format: WebAssembly Core 2.0, chapter 5.
 */
type Type = 'i32' | 'i64'

/** WASI preview 1: parameter types; all of these return an errno but `proc_exit`. */
const SIGNATURES = {
  fd_write: ['i32', 'i32', 'i32', 'i32'],
  fd_filestat_set_size: ['i32', 'i64'],
  path_open: ['i32', 'i32', 'i32', 'i32', 'i32', 'i64', 'i64', 'i32', 'i32'],
  path_create_directory: ['i32', 'i32', 'i32'],
  path_link: ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  path_rename: ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  path_unlink_file: ['i32', 'i32', 'i32'],
  sock_accept: ['i32', 'i32', 'i32'],
  args_sizes_get: ['i32', 'i32'],
  proc_exit: ['i32'],
} as const satisfies Record<string, readonly Type[]>

type Wasi = keyof typeof SIGNATURES
const NAMES = Object.keys(SIGNATURES) as Wasi[]
const CODE: Record<Type, number> = { i32: 0x7f, i64: 0x7e }

export const UNREACHABLE: readonly number[] = [0x00]

/** Calls a WASI function with constants; leaves its errno on the stack. */
export function call(name: Wasi, ...args: readonly number[]): readonly number[] {
  const types: readonly Type[] = SIGNATURES[name]
  return [...types.flatMap((type, i) => [type === 'i32' ? 0x41 : 0x42, ...signed(args[i] ?? 0)]), 0x10, NAMES.indexOf(name)]
}

export function drop(instructions: readonly number[]): readonly number[] {
  return [...instructions, 0x1a]
}

/** Ends the program with what the instructions leave on the stack. */
export function exitWith(instructions: readonly number[]): readonly number[] {
  return [...instructions, 0x10, NAMES.indexOf('proc_exit')]
}

export function exit(code: number): readonly number[] {
  return call('proc_exit', code)
}

/** Repeats for ever; `body` leaves nothing on the stack. */
export function forever(body: readonly number[]): readonly number[] {
  return [0x03, 0x40, ...body, 0x0c, 0x00, 0x0b]
}

/** Repeats until `body` leaves something else than zero on the stack. */
export function untilNonZero(body: readonly number[]): readonly number[] {
  return [0x03, 0x40, ...body, 0x45, 0x0d, 0x00, 0x0b]
}

/** Grows memory by pages; leaves its old size or -1. */
export function grow(pages: number): readonly number[] {
  return [0x41, ...signed(pages), 0x40, 0x00]
}

/** Runs `body` when the instructions leave -1. */
export function ifMinusOne(instructions: readonly number[], body: readonly number[]): readonly number[] {
  return [...instructions, 0x41, 0x7f, 0x46, 0x04, 0x40, ...body, 0x0b]
}

/** Counts the 32-bit number at an address up by `step`. */
export function add(address: number, step: number): readonly number[] {
  const at = [0x41, ...signed(address)]
  return [...at, ...at, 0x28, 0x02, 0x00, 0x41, ...signed(step), 0x6a, 0x36, 0x02, 0x00]
}

/** Leaves the 32-bit number at an address. */
export function load(address: number): readonly number[] {
  return [0x41, ...signed(address), 0x28, 0x02, 0x00]
}

/** Calls `_start` itself. */
export const RECURSE: readonly number[] = [0x10, NAMES.length]

export interface Program {
  readonly body: readonly number[]
  /** Bytes by address; strings are ASCII. */
  readonly data?: { readonly [address: number]: string | readonly number[] }
  /** Flags and sizes of the memory section; default one memory of one page. */
  readonly memories?: readonly (readonly number[])[]
  readonly start?: string
  readonly module?: string
}

export function assemble({
  body,
  data = {},
  memories = [[0x00, 1]],
  start = '_start',
  module = 'wasi_snapshot_preview1',
}: Program): Uint8Array {
  const types = [...NAMES.map((name) => functionType(SIGNATURES[name], name === 'proc_exit' ? [] : ['i32'])), functionType([], [])]
  const imports = NAMES.map((name, i) => [...text(module), ...text(name), 0x00, i])
  const code = [0x00, ...body, 0x0b]
  const segments = Object.entries(data).map(([address, bytes]) => {
    const content = typeof bytes === 'string' ? [...Buffer.from(bytes, 'latin1')] : bytes
    return [0x00, 0x41, ...signed(Number(address)), 0x0b, ...unsigned(content.length), ...content]
  })
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, imports),
    ...section(3, [[NAMES.length]]),
    ...(memories.length > 0 ? section(5, memories) : []),
    ...section(7, [[...text(start), 0x00, NAMES.length], ...(memories.length > 0 ? [[...text('memory'), 0x02, 0x00]] : [])]),
    ...section(10, [[...unsigned(code.length), ...code]]),
    ...section(11, segments),
  ])
}

function functionType(parameters: readonly Type[], results: readonly Type[]): readonly number[] {
  return [0x60, parameters.length, ...parameters.map((t) => CODE[t]), results.length, ...results.map((t) => CODE[t])]
}

function section(id: number, items: readonly (readonly number[])[]): readonly number[] {
  const content = [...unsigned(items.length), ...items.flat()]
  return [id, ...unsigned(content.length), ...content]
}

function text(value: string): readonly number[] {
  return [value.length, ...Buffer.from(value, 'latin1')]
}

/** LEB128. */
export function unsigned(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(Math.floor(value / 128))]
}

/** Signed LEB128. */
export function signed(value: number): readonly number[] {
  const low = ((value % 128) + 128) % 128
  const rest = Math.floor(value / 128)
  const done = (rest === 0 && low < 64) || (rest === -1 && low >= 64)
  return done ? [low] : [low | 0x80, ...signed(rest)]
}
