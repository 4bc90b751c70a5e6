import colors from 'picocolors'
import { blankControl } from '../client/control-characters.ts'
import { AttestError, ERROR_CODES } from '../verify/errors.ts'

/** Where a command writes. stdout holds one JSON document, or the artefact that was asked for; everything else is stderr. */
export interface Output {
  readonly json: boolean
  /** True when stderr is a terminal: only then is there colour and a line that rewrites itself. */
  readonly live: boolean
  /** One line for people. */
  line(text?: string): void
  /** What is going on now. On a terminal the line is rewritten by the next one; elsewhere nothing is written. */
  progress(text: string): void
  /** The answer: `document` on stdout with `--json`, else `human` lines on stderr. Once per command. */
  answer(document: unknown, human: readonly string[]): void
  /** True once there is an answer: a failure after it has no document of its own. */
  readonly answered: boolean
  /** An artefact (script, note, certificate) on stdout, exactly. */
  artefact(text: string): void
  readonly paint: Paint
}

/** Colours for people; each is the identity where there is no terminal. */
export interface Paint {
  bold(text: string): string
  dim(text: string): string
  good(text: string): string
  bad(text: string): string
  warn(text: string): string
}

export interface Streams {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number }
  readonly env: Readonly<Record<string, string | undefined>>
}

export function createOutput(streams: Streams, json: boolean): Output {
  const live = streams.stderr.isTTY === true && streams.env.TERM !== 'dumb'
  const width = streams.stderr.columns ?? 80
  let pending = false
  let answered = false
  const clear = (): void => {
    if (pending) streams.stderr.write('\r\x1b[2K')
    pending = false
  }
  const line = (text = ''): void => {
    clear()
    streams.stderr.write(`${text}\n`)
  }
  return {
    json,
    live,
    line,
    paint: paintFor(live && streams.env.NO_COLOR === undefined),
    progress(text) {
      if (!live) return
      clear()
      streams.stderr.write(text.slice(0, width - 1))
      pending = true
    },
    get answered() {
      return answered
    },
    answer(document, human) {
      clear()
      answered = true
      if (json) streams.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
      else for (const text of human) line(text)
    },
    artefact(text) {
      clear()
      streams.stdout.write(text)
    },
  }
}

function paintFor(colour: boolean): Paint {
  const { bold, dim, green, red, yellow } = colors.createColors(colour)
  return { bold, dim, good: green, bad: red, warn: yellow }
}

/** The two lines that a person sees of a failure. The cause is not among them: it may quote input. */
export function describeError(error: unknown): readonly string[] {
  if (!(error instanceof AttestError)) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return [`sealgate: INTERNAL: ${oneLine(text)}`, `fix: ${ERROR_CODES.INTERNAL.fix}`]
  }
  const place = error.at === undefined ? '' : ` (at ${error.at})`
  return [`sealgate: ${error.code}: ${oneLine(error.message)}${place}`, `fix: ${ERROR_CODES[error.code].fix}`]
}

/** The same failure as the JSON document of `--json`. */
export function errorDocument(error: unknown): {
  readonly error: { readonly code: string; readonly at: string | null; readonly message: string; readonly fix: string }
} {
  const code = error instanceof AttestError ? error.code : 'INTERNAL'
  const message = error instanceof Error ? error.message : String(error)
  const at = error instanceof AttestError ? (error.at ?? null) : null
  return { error: { code, at, message: oneLine(message), fix: ERROR_CODES[code].fix } }
}

function oneLine(text: string): string {
  // Text of a peer must not steer the terminal.
  return blankControl(text).trim()
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}
