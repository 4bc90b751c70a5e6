import type { IncomingHttpHeaders } from 'node:http'
import { fromHex, fromUtf8, utf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { MAX_CRL_SIZE } from '../../verify/formats/crl.ts'
import type { AmdProduct } from '../../verify/trust/amd.ts'
import type { HttpAnswer } from './http.ts'
import type { Question } from './questions.ts'

/** Where collateral is fetched from. URLs without a slash at the end. */
export interface Endpoints {
  /** AMD's Key Distribution Service, or something that speaks like it. */
  readonly amdKds: string
  /** Intel's Provisioning Certification Service, or a cache of it (PCCS). */
  readonly intelPcs: string
  /** The whole URL of the CRL of Intel's root: Intel has it elsewhere, a PCCS at `/sgx/certification/v4/rootcacrl`. */
  readonly intelRootCrl: string
  /** Intel asks for one where a PCK certificate is wanted; a PCCS does not. A secret. */
  readonly intelKey: string | null
}

export interface VendorRequest {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly maxBytes: number
}

const KiB = 1024
/** The largest real ones: VCEK 1.4 KB, chain 4.6 KB, TCB info 14 KB, CRL of PCK certificates 200 KB; hexadecimal doubles them. */
const MAX_SIZE = 256 * KiB
const MAX_CRL = 2 * MAX_CRL_SIZE + KiB

/**
 * The request for a question.
 * @see AMD 57230 section 4 (KDS); Intel PCS API v4, "Get PCK Certificate", "Get Revocation List", "Get TCB Info", "Get Quoting
 *   Enclave Identity"; Intel PCCS design guide.
 */
export function requestFor(question: Question, { amdKds, intelPcs, intelRootCrl, intelKey }: Endpoints): VendorRequest {
  const get = (base: string, path: string, query: Readonly<Record<string, string>> = {}, maxBytes = MAX_SIZE): VendorRequest => {
    const url = new URL(`${base}${path}`)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    return { url, headers: {}, maxBytes }
  }
  switch (question.kind) {
    case 'vcek':
      return get(amdKds, `/vcek/v1/${question.product}/${question.hwId}`, levelsOf(question.product, fromHex(question.tcb)))
    case 'amd-chain':
      return get(amdKds, `/${question.signer}/v1/${question.product}/cert_chain`)
    case 'amd-crl':
      return get(amdKds, `/${question.signer}/v1/${question.product}/crl`, {}, MAX_CRL)
    case 'pck': {
      const { encryptedPpid, qeId, cpuSvn, pceSvn, pceId } = question
      const ppid: Record<string, string> = encryptedPpid === '' ? {} : { encrypted_ppid: encryptedPpid }
      const request = get(intelPcs, '/sgx/certification/v4/pckcert', {
        ...ppid,
        cpusvn: cpuSvn,
        pcesvn: pceSvn,
        pceid: pceId,
        // Of no use to Intel; a PCCS finds its platforms by it.
        qeid: qeId,
      })
      return intelKey === null ? request : { ...request, headers: { 'ocp-apim-subscription-key': intelKey } }
    }
    case 'pck-crl':
      return get(intelPcs, '/sgx/certification/v4/pckcrl', { ca: question.ca, encoding: 'der' }, MAX_CRL)
    case 'root-crl':
      return get(intelRootCrl, '', {}, MAX_CRL)
    case 'tcb-info':
      return get(intelPcs, `/${question.tee}/certification/v4/tcb`, { fmspc: question.fmspc, update: question.update })
    case 'qe-identity':
      return get(intelPcs, `/${question.tee}/certification/v4/qe/identity`, { update: question.update })
  }
}

/** AMD's parameters: decimal, at least two digits; which byte is which depends on the product. */
function levelsOf(product: AmdProduct, tcb: Uint8Array): Record<string, string> {
  const level = (index: number): string => String(tcb[index] ?? 0).padStart(2, '0')
  if (product !== 'Turin') return { blSPL: level(0), teeSPL: level(1), snpSPL: level(6), ucodeSPL: level(7) }
  return { fmcSPL: level(0), blSPL: level(1), teeSPL: level(2), snpSPL: level(3), ucodeSPL: level(7) }
}

/** Headers in which Intel sends the certificates above its answer: PEM, URL-encoded. */
const CHAIN_HEADERS: Readonly<Partial<Record<Question['kind'], readonly string[]>>> = {
  pck: ['sgx-pck-certificate-issuer-chain'],
  'pck-crl': ['sgx-pck-crl-issuer-chain'],
  'tcb-info': ['tcb-info-issuer-chain', 'sgx-tcb-info-issuer-chain'],
  'qe-identity': ['sgx-enclave-identity-issuer-chain'],
}

/**
 * The pieces of an answer, none of them checked: the body, and the chain of its header.
 * @throws AttestError `ENCODING_INVALID` for what is not in the form of the interface.
 */
export function piecesOf(question: Question, { headers, body }: HttpAnswer): readonly Uint8Array[] {
  const isCrl = question.kind.endsWith('-crl')
  const chain = chainOf(question, headers)
  return [isCrl ? derOfCrl(body) : body, ...(chain === null ? [] : [utf8(chain)])]
}

/** DER from the vendors, hexadecimal of that DER from a PCCS; PEM is read further down. */
function derOfCrl(body: Uint8Array): Uint8Array {
  const isText = body.length > 0 && body.every((b) => (b >= 0x20 && b < 0x7f) || b === 0x0a || b === 0x0d)
  const text = isText ? fromUtf8(body).trim() : ''
  return /^[0-9a-fA-F]+$/.test(text) ? fromHex(text) : body
}

function chainOf({ kind }: Question, headers: IncomingHttpHeaders): string | null {
  const value = CHAIN_HEADERS[kind]?.map((name) => headers[name]).find((v) => typeof v === 'string')
  if (typeof value !== 'string') return null
  try {
    return decodeURIComponent(value)
  } catch (cause) {
    throw new AttestError('ENCODING_INVALID', 'issuer chain is not URL-encoded', { at: 'header', cause })
  }
}
