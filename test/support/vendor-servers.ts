import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TlsIdentity } from '../../src/rpc/index.ts'
import type { SimulatedPlatform } from '../../src/sim/index.ts'
import { fromHex, toBase64, toHex } from '../../src/verify/bytes/bytes.ts'
import { pemText } from '../../src/verify/evidence/dcap/collateral-json.ts'
import { parseQuote } from '../../src/verify/evidence/dcap/quote.ts'
import type { SimulatedCase } from './intel.ts'

/** What a vendor answers. A chain goes into a header, URL-encoded. */
export interface VendorAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
}

/** Answers by path and query; null: 404. */
export type Vendor = (url: URL, headers: IncomingMessage['headers']) => VendorAnswer | null

/** A server on loopback that speaks as a vendor does, and can be told to misbehave. */
export class VendorServer {
  /** Path and query of every request, in order. */
  readonly requests: string[] = []
  /** Answers instead of the vendor, where it answers at all. */
  override: Vendor = () => null
  /** Requests wait until it is resolved. */
  hold: Promise<void> = Promise.resolve()
  readonly #server: Server
  readonly #scheme: string
  #url = ''

  private constructor(vendor: Vendor, tls: TlsIdentity | null) {
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#answer(vendor, request, response)
    }
    this.#scheme = tls === null ? 'http' : 'https'
    this.#server = tls === null ? createHttpServer(answer) : createHttpsServer({ key: tls.key, cert: tls.cert }, answer)
  }

  static async start(vendor: Vendor, tls: TlsIdentity | null = null): Promise<VendorServer> {
    const server = new VendorServer(vendor, tls)
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    server.#url = `${server.#scheme}://127.0.0.1:${(server.#server.address() as AddressInfo).port}`
    return server
  }

  /** Stays the same after the server has stopped. */
  get url(): string {
    return this.#url
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(vendor: Vendor, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/'
    this.requests.push(path)
    await this.hold
    const url = new URL(path, 'http://vendor')
    const { status, headers = {}, body = '' } = this.override(url, request.headers) ?? vendor(url, request.headers) ?? { status: 404 }
    response.writeHead(status, headers)
    response.end(body)
  }
}

const pem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${(toBase64(der).match(/.{1,64}/g) ?? []).join('\n')}\n-----END CERTIFICATE-----\n`

/** AMD's Key Distribution Service for these platforms (AMD 57230 section 4). */
export function simulatedKds(...platforms: readonly SimulatedPlatform[]): Vendor {
  return ({ pathname, searchParams }) => {
    const [, signer = '', version, product, what = ''] = pathname.split('/')
    const known = platforms.filter((p) => p.product === product && p.signingKey.toLowerCase() === signer && version === 'v1')
    const [first] = known
    if (first === undefined) return null
    if (what === 'cert_chain') return { status: 200, body: pem(first.intermediate.certificate) + pem(first.root.certificate) }
    if (what === 'crl') return { status: 200, headers: { 'content-type': 'application/pkix-crl' }, body: first.crl }
    if (signer !== 'vcek') return null
    const [b0, b1, b2, b3, , , b6, b7] = first.tcb
    const turin = product === 'Turin'
    const levels = turin ? { fmcSPL: b0, blSPL: b1, teeSPL: b2, snpSPL: b3 } : { blSPL: b0, teeSPL: b1, snpSPL: b6 }
    for (const [name, level] of Object.entries({ ...levels, ucodeSPL: b7 })) {
      const value = searchParams.get(name)
      if (value === null || !/^\d{2,3}$/.test(value)) return { status: 400 }
      if (Number(value) !== level) return null
    }
    const chip = known.find((p) => toHex(turin ? p.chipId.subarray(0, 8) : p.chipId) === what)
    return chip === undefined ? null : { status: 200, body: chip.vek.certificate }
  }
}

export interface PcsOptions {
  /** A cache of Intel's service: CRLs in hexadecimal, no subscription key, the root's CRL beside the rest. */
  readonly pccs?: true
  /** What Intel's service wants to see before it hands out PCK certificates. */
  readonly subscriptionKey?: string
  readonly early?: SimulatedCase
}

/** Intel's Provisioning Certification Service v4 for these cases, by TEE. */
export function simulatedPcs(cases: Readonly<Partial<Record<'sgx' | 'tdx', SimulatedCase>>>, options: PcsOptions = {}): Vendor {
  const one = cases.tdx ?? cases.sgx
  const member = (found: SimulatedCase, name: string): string => found.json[name] ?? ''
  const crl = (hex: string, headers: Record<string, string> = {}): VendorAnswer => ({
    status: 200,
    headers,
    body: options.pccs === true ? hex : fromHex(hex),
  })
  const signed = (found: SimulatedCase, name: string, as: string, header: string): VendorAnswer => ({
    status: 200,
    headers: { 'content-type': 'application/json', [header]: encodeURIComponent(member(found, `${name}_issuer_chain`)) },
    body: `{"${as}":${member(found, name)},"signature":"${member(found, `${name}_signature`)}"}`,
  })
  return ({ pathname, searchParams }, headers) => {
    if (one === undefined) return null
    const [, tee, path] = /^\/(sgx|tdx)\/certification\/v4\/(.+)$/.exec(pathname) ?? []
    if (pathname === '/IntelSGXRootCA.der' && options.pccs !== true) return crl(member(one, 'root_ca_crl'))
    const found = cases[tee as 'sgx' | 'tdx']
    const update = searchParams.get('update') ?? 'standard'
    const dated = update === 'early' ? options.early : found
    if (path === 'rootcacrl' && options.pccs === true) return crl(member(one, 'root_ca_crl'))
    if (path === 'pckcrl') {
      const chain = { 'SGX-PCK-CRL-Issuer-Chain': encodeURIComponent(member(one, 'pck_crl_issuer_chain')) }
      if (searchParams.get('ca') !== 'platform') return { status: searchParams.get('ca') === 'processor' ? 404 : 400 }
      return crl(member(one, 'pck_crl'), chain)
    }
    if (path === 'pckcert') return pckCertificate(one, searchParams, headers, options)
    if (path === 'tcb') {
      if (!/^[0-9a-fA-F]{12}$/.test(searchParams.get('fmspc') ?? '')) return { status: 400 }
      const fmspc = (JSON.parse(dated === undefined ? '{}' : member(dated, 'tcb_info')) as { fmspc?: string }).fmspc ?? ''
      const fits = fmspc.toLowerCase() === searchParams.get('fmspc')?.toLowerCase()
      return dated !== undefined && fits ? signed(dated, 'tcb_info', 'tcbInfo', 'TCB-Info-Issuer-Chain') : null
    }
    if (path !== 'qe/identity' || dated === undefined) return null
    return signed(dated, 'qe_identity', 'enclaveIdentity', 'SGX-Enclave-Identity-Issuer-Chain')
  }
}

/** The PCK certificate that the case's own quote carries. */
function pckCertificate(
  { quote }: SimulatedCase,
  query: URLSearchParams,
  headers: IncomingMessage['headers'],
  { pccs, subscriptionKey }: PcsOptions,
): VendorAnswer | null {
  if (subscriptionKey !== undefined && headers['ocp-apim-subscription-key'] !== subscriptionKey) return { status: 401 }
  const wanted: Record<string, number> = { cpusvn: 32, pcesvn: 4, pceid: 4, ...(pccs === true ? { qeid: 32 } : { encrypted_ppid: 768 }) }
  for (const [name, digits] of Object.entries(wanted)) {
    if (!new RegExp(`^[0-9a-f]{${digits}}$`).test(query.get(name) ?? '')) return { status: 400 }
  }
  const [leaf = '', ...issuers] = pemText(parseQuote(quote).certificationData).split(/(?=-----BEGIN)/)
  return { status: 200, headers: { 'SGX-PCK-Certificate-Issuer-Chain': encodeURIComponent(issuers.join('')) }, body: leaf }
}
