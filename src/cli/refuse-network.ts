import dgram from 'node:dgram'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { AttestError } from '../verify/errors.ts'

/**
 * From here on this process opens no connection and asks no name server: sockets of every kind go through these few
 * functions. A promise that verification keeps by itself, not a sandbox against hostile code.
 */
export function refuseNetwork(): void {
  const refuse = (): never => {
    throw new AttestError('INTERNAL', 'this command works without a network, and something asked for one')
  }
  net.Socket.prototype.connect = refuse
  dgram.Socket.prototype.bind = refuse
  dgram.Socket.prototype.send = refuse
  for (const api of [dns, dns.promises] as unknown as Record<string, unknown>[]) {
    for (const name of Object.keys(api)) if (/^(lookup|resolve|reverse)/.test(name)) api[name] = refuse
  }
  syncBuiltinESMExports()
}
