import { request } from 'node:https'
import { AttestError } from '../verify/errors.ts'
import { type Address, formatAddress, httpsOptions, type TlsIdentity } from './tls.ts'

/**
 * Why a gateway cannot be reached, told apart by error codes of the socket: nobody listens, or TLS refused.
 * Returns null when the gateway answers after all.
 */
export function diagnose(address: Address, identity: TlsIdentity, timeoutMs = 3000): Promise<AttestError | null> {
  const where = formatAddress(address)
  return new Promise((resolve) => {
    let greeted = false
    const req = request({ ...httpsOptions(address, identity), path: '/', timeout: timeoutMs })
    req.on('socket', (socket) => socket.on('secureConnect', () => (greeted = true)))
    req.on('response', (response) => {
      response.resume()
      resolve(null)
    })
    req.on('timeout', () => req.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
    req.on('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code ?? ''
      const refused = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN', 'ETIMEDOUT'].includes(code)
      // With TLS 1.3 a server refuses a client's certificate after the client thinks that the handshake is done.
      if (refused && !greeted) resolve(new AttestError('GATEWAY_UNREACHABLE', `no gateway answers at ${where} (${code})`, { cause }))
      else resolve(new AttestError('TLS_REJECTED', `TLS with ${where} failed (${code === '' ? 'closed' : code})`, { cause }))
    })
    req.end()
  })
}
