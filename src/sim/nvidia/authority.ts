import type { Extension } from '@peculiar/x509'
import { concat, toHex } from '../../verify/bytes/bytes.ts'
import { authorityExtensions, extension, issueCertificate, P384, USAGE } from '../certificates.ts'
import { der } from '../der.ts'
import { digest, generateEcKey, pointOf, type SimulatedKey, spkiOf } from '../keys.ts'
import { ARCHITECTURES, type Architecture } from './architectures.ts'

/** A key with its certificate and the name that stands in both. */
export interface NamedKey extends SimulatedKey {
  readonly name: string
}

/** An authority, and the responder that answers for what it issued. */
export interface NvidiaAuthority extends NamedKey {
  readonly responder: NamedKey
}

/** Signs manifests of one architecture: root, CA, intermediate, signer. */
export interface RimAuthorities {
  readonly ca: NvidiaAuthority
  readonly intermediate: NvidiaAuthority
  readonly signer: NamedKey
}

/** A SIMULATED NVIDIA: two roots and everything between them and devices or manifests. It proves nothing about hardware. */
export interface SimulatedNvidia {
  readonly createdAt: Date
  readonly deviceRoot: NvidiaAuthority
  readonly identities: Readonly<Record<'GH100' | 'GB100', NvidiaAuthority>>
  readonly provisioners: Readonly<Record<Architecture, NvidiaAuthority>>
  readonly rimRoot: NvidiaAuthority
  readonly rims: Readonly<Record<Architecture, RimAuthorities>>
}

/** What stands in a certificate. */
export interface NvidiaCertificate {
  readonly name: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** Hexadecimal; default: from the key. */
  readonly serial?: string
  readonly extensions: readonly Extension[]
}

/** End of the validity of device certificates (RFC 5280 section 4.1.2.5: no well-defined end). */
export const NO_END: Date = new Date('9999-12-31T23:59:59Z')
const YEAR_MS = 365 * 24 * 60 * 60 * 1000
const OCSP_SIGNING = '1.3.6.1.5.5.7.3.9'
const OCSP_NO_CHECK = '1.3.6.1.5.5.7.48.1.5'

/** NVIDIA's names with another organisation, so that no reader takes a simulated certificate for NVIDIA's; roots say SIMULATED twice. */
export function nameOf(commonName: string, serialNumber?: string): string {
  const number = serialNumber === undefined ? '' : `2.5.4.5=${serialNumber}, `
  return `${number}C=US, O=SIMULATED by sealgate, CN=${commonName}`
}

export const AUTHORITY: readonly Extension[] = authorityExtensions(USAGE.certSign | USAGE.crlSign, null)

/**
 * Issues a certificate as NVIDIA's authorities do: ECDSA P-384, key identifiers of both sides (RFC 5280 section 4.2.1).
 * @param issuer - Null: signs itself.
 */
export async function issueNvidia(fields: NvidiaCertificate, key: Uint8Array, issuer: NamedKey | null): Promise<NamedKey> {
  const signer = issuer ?? { name: fields.name, key }
  const identifiers = [
    extension('2.5.29.14', der.octets(keyIdentifier(key))),
    extension('2.5.29.35', der.sequence(der.implicit(0, keyIdentifier(signer.key)))),
  ]
  const content = {
    ...fields,
    subject: fields.name,
    key,
    serial: fields.serial ?? serialOf(key),
    extensions: [...fields.extensions, ...identifiers],
  }
  return { name: fields.name, key, certificate: await issueCertificate(content, { ...signer, algorithm: P384 }) }
}

/** SHA-1 of the public key's bits (RFC 5280 section 4.2.1.2, method 1). */
export function keyIdentifier(key: Uint8Array): Uint8Array {
  return digest('sha1', pointOf(spkiOf(key), 'P-384'))
}

function serialOf(key: Uint8Array): string {
  return toHex(concat(Uint8Array.of(0x51), digest('sha256', spkiOf(key)).slice(0, 15)))
}

/** A responder under `issuer` (RFC 6960 section 4.2.2.2), good for three years. */
export function issueResponder(issuer: NamedKey, notBefore: Date, change: Partial<NvidiaCertificate> = {}): Promise<NamedKey> {
  const fields = {
    name: nameOf(`NVIDIA OCSP Responder ${issuer.name.replace(/^.*CN=/, '')}`),
    notBefore,
    notAfter: new Date(notBefore.getTime() + 3 * YEAR_MS),
    extensions: responderExtensions([OCSP_SIGNING]),
    ...change,
  }
  return issueNvidia(fields, generateEcKey('P-384'), issuer)
}

/** @param purposes - OIDs of extendedKeyUsage. */
export function responderExtensions(purposes: readonly string[]): readonly Extension[] {
  return [
    extension('2.5.29.19', der.sequence()),
    extension('2.5.29.15', der.bits(Uint8Array.of(0x80)), true),
    extension('2.5.29.37', der.sequence(...purposes.map(der.oid)), true),
    extension(OCSP_NO_CHECK, der.nothing()),
  ]
}

/** @param at - Start of every certificate's validity. */
export async function createSimulatedNvidia({ at }: { readonly at: Date }): Promise<SimulatedNvidia> {
  const years = (count: number): Date => new Date(at.getTime() + count * YEAR_MS)
  const authority = async (commonName: string, notAfter: Date, issuer: NamedKey | null): Promise<NvidiaAuthority> => {
    const fields = { name: nameOf(commonName), notBefore: at, notAfter, extensions: AUTHORITY }
    const named = await issueNvidia(fields, generateEcKey('P-384'), issuer)
    return { ...named, responder: await issueResponder(named, at) }
  }
  const deviceRoot = await authority('SIMULATED NVIDIA Device Identity CA', NO_END, null)
  const identity = (part: string): Promise<NvidiaAuthority> => authority(`NVIDIA ${part} Identity`, NO_END, deviceRoot)
  const identities = { GH100: await identity('GH100'), GB100: await identity('GB100') }
  const provisioner = ({ provisioner: part, identity: by }: (typeof ARCHITECTURES)[Architecture]): Promise<NvidiaAuthority> =>
    authority(`NVIDIA ${part} Provisioner ICA 1`, NO_END, identities[by])
  const rimRoot = await authority('SIMULATED NVIDIA CoRIM signing Root CA', years(30), null)
  const rim = async (part: Architecture): Promise<RimAuthorities> => {
    const ca = await authority(`NVIDIA Reference Value ${part} CA`, years(10), rimRoot)
    const intermediate = await authority(`NVIDIA Reference Value L3 ${part} 001`, years(3), ca)
    return { ca, intermediate, signer: await issueRimSigner(intermediate, at) }
  }
  return {
    createdAt: at,
    deviceRoot,
    identities,
    provisioners: {
      GH100: await provisioner(ARCHITECTURES.GH100),
      GB100: await provisioner(ARCHITECTURES.GB100),
      LS10: await provisioner(ARCHITECTURES.LS10),
    },
    rimRoot,
    rims: { GH100: await rim('GH100'), GB100: await rim('GB100'), LS10: await rim('LS10') },
  }
}

/** What signs manifests, good for two years. */
export function issueRimSigner(issuer: NamedKey, notBefore: Date, change: Partial<NvidiaCertificate> = {}): Promise<NamedKey> {
  const fields = {
    name: nameOf('HCC RIM L4 Signer'),
    notBefore,
    notAfter: new Date(notBefore.getTime() + 2 * YEAR_MS),
    extensions: [extension('2.5.29.19', der.sequence(), true), extension('2.5.29.15', der.bits(Uint8Array.of(0x80)), true)],
    ...change,
  }
  return issueNvidia(fields, generateEcKey('P-384'), issuer)
}
