import dgram from 'node:dgram'
import dns from 'node:dns'
import http from 'node:http'
import net, { createServer } from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { refuseNetwork } from '../../../src/cli/refuse-network.ts'

const refused = /without a network/
let port: number
const server = createServer((socket) => socket.end())

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  port = typeof bound === 'object' && bound !== null ? bound.port : 0
  refuseNetwork()
})
afterAll(() => server.close())

describe('a process that refuses the network', () => {
  it('opens no socket of any kind, although somebody listens', async () => {
    expect(() => net.connect(port, '127.0.0.1')).toThrow(refused)
    expect(() => new net.Socket().connect(port)).toThrow(refused)
    expect(() => net.connect('/tmp/any.sock')).toThrow(refused)
    expect(() => tls.connect(port)).toThrow(refused)
    expect(() => http.get({ host: '127.0.0.1', port, agent: false })).toThrow(refused)
    expect(() => dgram.createSocket('udp4').send('x', port)).toThrow(refused)
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow()
  })

  it('asks no name server', () => {
    expect(() => dns.lookup('example.org', () => undefined)).toThrow(refused)
    expect(() => dns.promises.resolve4('example.org')).toThrow(refused)
  })
})
