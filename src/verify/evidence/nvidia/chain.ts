import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { remember, type VerifyCache } from '../cache.ts'
import { check, type Now, unknown } from '../check.ts'
import type { KnownCertificate } from '../collateral.ts'
import { checkCertificateWindow } from '../windows.ts'
import { classOf, type DeviceClass } from './architecture.ts'
import { type Fwid, readFwid } from './fwid.ts'
import type { DeviceKind } from './layout.ts'
import { establishPath, type PathFacts, pathKey, roomOf } from './path.ts'
import type { NvidiaRoot } from './roots.ts'

/** Leaf, BROM, provisioner, identity, root. */
export const CHAIN_LENGTH = 5

/** A device's certificates and what is true of them for ever. */
export interface DeviceChain {
  readonly certificates: readonly KnownCertificate[]
  readonly path: PathFacts
  readonly class: DeviceClass | null
  /** Device id from the BROM certificate's serial number, hexadecimal; null where the serial has another form. */
  readonly pdi: string | null
  /** Null: the leaf names none. An error where its extension cannot be read. */
  readonly fwid: Fwid | AttestError | null
}

/** Worked out once per cache. */
export function establishChain(
  certificates: readonly KnownCertificate[],
  roots: readonly NvidiaRoot[],
  cache: VerifyCache,
): DeviceChain | Promise<DeviceChain> {
  const key = `nvidia-chain:${pathKey(certificates, roots)}`
  return remember(cache, key, roomOf(certificates), async () => {
    const deviceClass = classOf(certificates)
    const [leaf, brom] = certificates
    return {
      certificates,
      path: await establishPath(certificates, roots, cache),
      class: deviceClass,
      pdi: pdiOf(brom, deviceClass),
      fwid: leaf === undefined ? null : tryReadFwid(leaf),
    }
  })
}

function tryReadFwid(leaf: KnownCertificate): Fwid | AttestError | null {
  try {
    return readFwid(leaf)
  } catch (error) {
    if (error instanceof AttestError) return error
    throw error
  }
}

/** PDI_SIZE bytes behind a prefix that tells GPUs from switches. */
function pdiOf(brom: KnownCertificate | undefined, deviceClass: DeviceClass | null): string | null {
  const serial = brom?.serial ?? ''
  return deviceClass !== null && serial.length === 18 && serial.startsWith(deviceClass.serialPrefix) ? serial.slice(2) : null
}

/** The rules about a chain. `kind` is what the report says it is about: a genuine switch must not speak for a GPU. */
export function checkChain(chain: DeviceChain | null, kind: DeviceKind, now: Now): readonly Check[] {
  const want = 'certificate chain of the device: leaf, BROM, provisioner, identity, root'
  if (chain === null) return [unknown('chain.device', want, 'none given')]
  const { certificates, path, class: deviceClass, pdi } = chain
  const count = check('chain.length', certificates.length === CHAIN_LENGTH, `${CHAIN_LENGTH} certificates`, `${certificates.length}`)
  const names = certificates.map((c) => c.subject.commonName ?? c.subject.text).join(' < ')
  const trusted = path.broken === null && path.root !== null
  return [
    count,
    check(
      'chain.device',
      trusted,
      'each signed by the next, the last a trusted root',
      path.broken ?? (trusted ? names : `${names}: not trusted`),
    ),
    check('chain.class', deviceClass?.kind === kind, `names of a ${kind}'s chain`, deviceClass?.architecture ?? names),
    check('chain.pdi', pdi !== null, 'BROM serial number of a device id', certificates[1]?.serial ?? 'none'),
    checkCertificateWindow('validity.device', path.window, now),
  ]
}
