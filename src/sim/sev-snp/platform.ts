import { generateKeyPair, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { fromHex } from '../../verify/bytes/bytes.ts'
import type { SigningKey } from '../../verify/evidence/sev-snp/layout.ts'
import type { AmdProduct } from '../../verify/trust/amd.ts'
import type { CrlContent } from '../certificates.ts'
import { generateEcKey, type SimulatedKey } from '../keys.ts'
import { type Authority, type CertificateFields, issueAuthority, issueCrl, issueVek, type VekFields } from './certificates.ts'

/**
 * One simulated machine and the key hierarchy above it: RSA-4096 root and intermediate, one P-384 VEK, one CRL. It proves
 * nothing about hardware, and everything it signs says SIMULATED.
 */
export interface SimulatedPlatform {
  readonly product: AmdProduct
  readonly signingKey: SigningKey
  /** TCB_VERSION that the VEK is for, 8 bytes. */
  readonly tcb: Uint8Array
  /** CHIP_ID, 64 bytes. */
  readonly chipId: Uint8Array
  readonly createdAt: Date
  readonly root: SimulatedKey
  readonly intermediate: SimulatedKey
  readonly vek: SimulatedKey
  readonly crl: Uint8Array
}

export interface PlatformOptions {
  /** Start of every certificate's validity. */
  readonly at: Date
  /** Validity of certificates and CRL in days. */
  readonly days?: number
  readonly product?: AmdProduct
  readonly signingKey?: SigningKey
}

const DAY_MS = 24 * 60 * 60 * 1000
const DEFAULT_DAYS = 3650

/** Security patch levels of a current machine, as TCB_VERSION; see the layouts of AMD 57230 section 3. */
const TCB: Readonly<Record<AmdProduct, string>> = { Milan: '04000000000018db', Genoa: '0a00000000001954', Turin: '0101010400000051' }

const generate = promisify(generateKeyPair)

/** The private keys of a platform, PKCS #8 DER: RSA-4096 twice, P-384. */
export interface PlatformKeys {
  readonly root: Uint8Array
  readonly intermediate: Uint8Array
  readonly vek: Uint8Array
}

/** Makes a platform with fresh keys. Two RSA-4096 keys take seconds: keep what you get, see {@link encodeSimulatedPlatform}. */
export async function createSimulatedPlatform(options: PlatformOptions): Promise<SimulatedPlatform> {
  const [root, intermediate] = await Promise.all([generateRsa(), generateRsa()])
  return issueSimulatedPlatform({ root, intermediate, vek: generateEcKey('P-384') }, options)
}

/** As {@link createSimulatedPlatform}, with keys that are there already. */
export async function issueSimulatedPlatform(keys: PlatformKeys, options: PlatformOptions): Promise<SimulatedPlatform> {
  const { at, days = DEFAULT_DAYS, product = 'Genoa', signingKey = 'VCEK' } = options
  const chipId = new Uint8Array(64)
  chipId.set(randomBytes(product === 'Turin' ? 8 : 64))
  const withoutCertificate = (key: Uint8Array): SimulatedKey => ({ key, certificate: new Uint8Array() })
  const bare: SimulatedPlatform = {
    product,
    signingKey,
    tcb: fromHex(TCB[product]),
    chipId,
    createdAt: at,
    root: withoutCertificate(keys.root),
    intermediate: withoutCertificate(keys.intermediate),
    vek: withoutCertificate(keys.vek),
    crl: new Uint8Array(),
  }
  const window = { notBefore: at, notAfter: new Date(at.getTime() + days * DAY_MS) }
  const withRoot = { ...bare, root: { key: keys.root, certificate: await issueRoot(bare, window) } }
  const withIntermediate = await reissueIntermediate(withRoot, window)
  const withVek = await reissueVek(withIntermediate, window)
  return reissueCrl(withVek, { thisUpdate: window.notBefore, nextUpdate: window.notAfter })
}

async function generateRsa(): Promise<Uint8Array> {
  const { privateKey } = await generate('rsa', { modulusLength: 4096 })
  return new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' }))
}

/** Serial of the simulated intermediate, hexadecimal; what a CRL must list to revoke it. */
export const INTERMEDIATE_SERIAL = '5101'
const ROOT_SERIAL = '5100'

function rootOf(platform: SimulatedPlatform): Authority {
  return { key: platform.root.key, commonName: `SIMULATED ARK-${platform.product}` }
}

function intermediateOf(platform: SimulatedPlatform): Authority {
  const commonName = `SIMULATED SEV-${platform.signingKey === 'VLEK' ? 'VLEK-' : ''}${platform.product}`
  return { key: platform.intermediate.key, commonName }
}

function issueRoot(platform: SimulatedPlatform, window: Window): Promise<Uint8Array> {
  const self = rootOf(platform)
  return issueAuthority({ commonName: self.commonName, serial: ROOT_SERIAL, ...window }, platform.root.key, self)
}

type Window = Pick<CertificateFields, 'notBefore' | 'notAfter'>

/** The same platform with another certificate of its intermediate. For tests: everything about it can be wrong. */
export async function reissueIntermediate(
  platform: SimulatedPlatform,
  change: Window & Partial<CertificateFields>,
  issuer: Authority = rootOf(platform),
): Promise<SimulatedPlatform> {
  const self = intermediateOf(platform)
  const fields = { commonName: self.commonName, serial: INTERMEDIATE_SERIAL, ...change }
  return { ...platform, intermediate: { key: self.key, certificate: await issueAuthority(fields, self.key, issuer) } }
}

/** The same platform with another VEK certificate. For tests: everything about it can be wrong. */
export async function reissueVek(
  platform: SimulatedPlatform,
  change: Window & Partial<VekFields>,
  issuer: Authority = intermediateOf(platform),
): Promise<SimulatedPlatform> {
  const turin = platform.product === 'Turin'
  const vcek = platform.signingKey === 'VCEK'
  const fields: VekFields = {
    commonName: `SIMULATED SEV-${platform.signingKey}`,
    serial: '01',
    structVersion: turin ? 1 : 0,
    productName: platform.product,
    spl: levelsOf(platform),
    hwId: vcek ? platform.chipId.slice(0, turin ? 8 : 64) : null,
    cspId: vcek ? null : 'CN=simulated.example',
    extra: [],
    ...change,
  }
  return { ...platform, vek: { key: platform.vek.key, certificate: await issueVek(fields, platform.vek.key, issuer) } }
}

function levelsOf({ product, tcb }: SimulatedPlatform): VekFields['spl'] {
  const [b0 = 0, b1 = 0, b2 = 0, b3 = 0, b4 = 0, b5 = 0, b6 = 0, b7 = 0] = tcb
  if (product === 'Turin') return { fmcSPL: b0, blSPL: b1, teeSPL: b2, snpSPL: b3, spl5: b4, spl6: b5, spl7: b6, ucodeSPL: b7 }
  return { blSPL: b0, teeSPL: b1, spl4: b2, spl5: b3, spl6: b4, spl7: b5, snpSPL: b6, ucodeSPL: b7 }
}

/** The same platform with another CRL. */
export async function reissueCrl(
  platform: SimulatedPlatform,
  change: Pick<CrlContent, 'thisUpdate' | 'nextUpdate'> & Partial<CrlContent>,
  issuer: Authority = rootOf(platform),
): Promise<SimulatedPlatform> {
  return { ...platform, crl: await issueCrl({ revoked: [], ...change }, issuer) }
}
