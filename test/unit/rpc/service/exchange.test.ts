import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { endToEnd, MessageHash, pairs } from '../../../../src/rpc/service/index.ts'
import { toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'

const token = fc.stringMatching(/^[A-Za-z-]{1,12}$/)
const name = fc.oneof(
  token,
  fc.constantFrom('Connection', 'TE', 'Transfer-Encoding', 'Upgrade', 'Host', 'Content-Length', 'Sealgate-Exchange', 'Keep-Alive'),
)
const headers = fc.array(fc.tuple(name, token), { maxLength: 12 }).map((list) => list.flat())

describe('headers that pass', () => {
  it('are never those of one hop, our own, or named by Connection', () => {
    fc.assert(
      fc.property(headers, (raw) => {
        const named = pairs(raw).flatMap(([n, v]) => (n.toLowerCase() === 'connection' ? [v.toLowerCase()] : []))
        const passed = pairs(endToEnd(raw)).map(([n]) => n.toLowerCase())
        for (const n of passed) {
          expect(['connection', 'te', 'transfer-encoding', 'upgrade', 'keep-alive']).not.toContain(n)
          expect(n.startsWith('sealgate-')).toBe(false)
          if (n !== 'host' && n !== 'content-length') expect(named).not.toContain(n)
        }
      }),
    )
  })

  it('pass twice as they pass once: both ends hash the same', () => {
    fc.assert(
      fc.property(headers, (raw) => {
        const once = endToEnd(raw)
        const digest = (list: readonly string[]): string => toHex(MessageHash.ofRequest('GET', '/', list).digest())
        expect(endToEnd(once)).toEqual(once)
        expect(digest([...endToEnd(once), 'Content-Length', '3'])).toBe(digest(once))
      }),
    )
  })
})

describe('the hash of a message', () => {
  const of = (method: string, target: string, list: readonly string[], body: string): string => {
    const hash = MessageHash.ofRequest(method, target, list)
    hash.update(utf8(body))
    return toHex(hash.digest())
  }

  it('tells apart method, target, headers and body, and where one ends', () => {
    const all = [
      of('GET', '/a', ['x', 'y'], 'b'),
      of('PUT', '/a', ['x', 'y'], 'b'),
      of('GET', '/b', ['x', 'y'], 'b'),
      of('GET', '/a', ['x', 'z'], 'b'),
      of('GET', '/a', ['x', 'y', 'x', 'y'], 'b'),
      of('GET', '/a', ['x', 'y'], ''),
      of('GET', '/a', [], 'xyb'),
      toHex(MessageHash.ofResponse(200, []).digest()),
    ]
    expect(new Set(all).size).toBe(all.length)
  })
})
