import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const root = new URL('../../../src/', import.meta.url)

/** What a pure room may not reach for: the clock, randomness, the network, timers, the runtime. */
const BANNED: readonly (readonly [string, RegExp])[] = [
  ['the clock', /\bDate\.now\b|\bnew Date\(\)|\bDate\(\)|\bperformance\b/],
  ['randomness', /\bMath\.random\b|\bgetRandomValues\b|\brandomUUID\b|\brandomBytes\b/],
  ['the network', /\bfetch\b\s*\(|\bXMLHttpRequest\b|\bWebSocket\b/],
  ['timers', /\bsetTimeout\b|\bsetInterval\b|\bsetImmediate\b/],
  ['the runtime', /from 'node:|\bprocess\.|\bBuffer\b|\brequire\(/],
  ['a console', /\bconsole\./],
]

const NODE_BACKEND = 'verify/crypto/node.ts'

function sources(room: string): string[] {
  return readdirSync(new URL(`${room}/`, root), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => `${room}/${file}`)
    .filter((file) => file !== NODE_BACKEND)
}

/** Comments may speak of clocks. */
function code(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '')
    .replaceAll(/\s\/\/ .*$/gm, '')
}

describe.each(['verify', 'seal'])('%s is pure', (room) => {
  const files = sources(room)

  it('has files to look at', () => {
    expect(files.length).toBeGreaterThan(5)
  })

  it.each(BANNED)('never touches %s', (_, pattern) => {
    const guilty = files.filter((file) => pattern.test(code(readFileSync(new URL(file, root), 'utf8'))))
    expect(guilty).toEqual([])
  })
})
