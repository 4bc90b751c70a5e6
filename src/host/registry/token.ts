import { AttestError } from '../../verify/errors.ts'
import type { Registry } from './config.ts'

/** What a registry wants, from `WWW-Authenticate` (RFC 7235). */
export type Challenge =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: string; readonly service: string | null }

const MAX_TOKEN_BYTES = 64 * 1024
const MAX_HEADER = 4096

/** Reads the one challenge of a header; null where it is of no kind that is known here. */
export function parseChallenge(header: string): Challenge | null {
  if (header.length > MAX_HEADER) return null
  if (/^basic(\s|$)/i.test(header)) return { scheme: 'basic' }
  const parameters = /^bearer\s+(.*)$/i.exec(header)?.[1]
  if (parameters === undefined) return null
  const found = new Map([...parameters.matchAll(/([a-z]+)="([^"\\]*)"/gi)].map(([, name, value]) => [name?.toLowerCase(), value ?? '']))
  const realm = found.get('realm')
  return realm === undefined ? null : { scheme: 'bearer', realm, service: found.get('service') ?? null }
}

/**
 * Asks for a token to pull from one repository. The scope is ours, not the challenge's; the realm must be the registry or its
 * configured token host, or a registry could send credentials anywhere.
 * @throws AttestError `IMAGE_UNAVAILABLE`.
 */
export async function fetchToken(
  { host, tokenHost, plainHttp, credentials }: Registry,
  name: string,
  { realm, service }: Extract<Challenge, { scheme: 'bearer' }>,
  ask: (url: URL, headers: Record<string, string>) => Promise<Response>,
): Promise<string> {
  const url = URL.canParse(realm) ? new URL(realm) : null
  const isAllowed = url !== null && (url.host === host || url.host === tokenHost) && (url.protocol === 'https:' || plainHttp === true)
  if (!isAllowed || url.username !== '') throw failed(host, 'it names a token service that this host is not configured for')
  if (service !== null) url.searchParams.set('service', service)
  url.searchParams.set('scope', `repository:${name}:pull`)
  const answer = await ask(url, credentials === undefined ? {} : { authorization: basic(credentials) })
  if (!answer.ok) {
    await answer.body?.cancel()
    throw failed(host, `its token service answers with status ${answer.status}`)
  }
  const { token, access_token: accessToken } = await readJson(answer, host)
  const found = typeof token === 'string' ? token : accessToken
  if (typeof found !== 'string' || !/^[\x21-\x7e]{1,16384}$/.test(found)) throw failed(host, 'its token service gives no token')
  return found
}

export function basic({ username, password }: NonNullable<Registry['credentials']>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

async function readJson(answer: Response, host: string): Promise<{ readonly token?: unknown; readonly access_token?: unknown }> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of answer.body ?? []) {
    size += chunk.length
    if (size > MAX_TOKEN_BYTES) throw failed(host, 'its token service answers with too much')
    chunks.push(chunk)
  }
  try {
    return (JSON.parse(Buffer.concat(chunks).toString('utf8')) ?? {}) as object
  } catch {
    // The parser's own error would quote what may be a token.
    throw failed(host, 'its token service does not answer with JSON')
  }
}

function failed(host: string, why: string): AttestError {
  return new AttestError('IMAGE_UNAVAILABLE', `no token for the registry ${host}: ${why}`)
}
