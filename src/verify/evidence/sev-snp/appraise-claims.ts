import { fromHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { bitChecks, check, memberChecks, unknown } from '../check.ts'
import { maskText, parseMask, readMask } from '../mask.ts'
import type { SnpParsed } from './claims.ts'
import { SNP_FLOORS, type SnpFloor } from './floors.ts'
import { type TcbVersion, tcbText } from './layout.ts'
import type { FirmwareVersion } from './parse.ts'
import type { SnpRequirements, TcbFloor } from './requirements.ts'

/**
 * What a caller or a policy asks of a report beyond what holds for every one. Looks at what was read alone, so it means
 * something only where the report verified.
 * @throws AttestError `USAGE` for a mask that is none.
 */
export function appraiseSnp(report: SnpParsed, wanted: SnpRequirements): readonly Check[] {
  return [
    ...signerChecks(report, wanted),
    ...levelChecks(report, wanted),
    ...platformChecks(report, wanted),
    ...guestChecks(report, wanted),
    ...identityChecks(report, wanted),
    ...chipChecks(report, wanted),
  ]
}

function signerChecks({ product, signingKey, vek }: SnpParsed, { products, signingKeys, vlekCspIds }: SnpRequirements): readonly Check[] {
  return [
    ...memberChecks('policy.product', products, product),
    ...memberChecks('policy.signing-key', signingKeys, signingKey),
    ...(signingKey === 'VCEK' ? [] : memberChecks('policy.vlek-csp-id', vlekCspIds, vek?.cspId ?? null)),
  ]
}

function levelChecks(report: SnpParsed, wanted: SnpRequirements): readonly Check[] {
  const { minimumTcb, minimumLaunchTcb, floors = [], minimumCurrentVersion, minimumCommittedVersion, committedFirmware } = wanted
  return [
    ...(minimumTcb === undefined ? [] : [floorCheck('tcb.minimum', minimumTcb, report, report.reportedTcb)]),
    ...floors.map((name) => bulletinCheck(name, report)),
    ...(minimumLaunchTcb === undefined ? [] : [floorCheck('tcb.launch-minimum', minimumLaunchTcb, report, report.launchTcb)]),
    ...versionChecks('tcb.current-version', minimumCurrentVersion, report.currentVersion),
    ...versionChecks('tcb.committed-version', minimumCommittedVersion, report.committedVersion),
    ...(committedFirmware === undefined ? [] : [committedCheck(report)]),
  ]
}

function floorCheck(rule: Check['rule'], floors: TcbFloor, { product }: SnpParsed, tcb: TcbVersion): Check {
  const floor = (product === null ? undefined : floors[product]) ?? {}
  const names = Object.keys(floor) as (keyof TcbVersion)[]
  if (names.length === 0) return check(rule, false, 'a product with a floor', product ?? 'unknown product')
  const enough = names.every((name) => (tcb[name] ?? -1) >= (floor[name] ?? 0))
  return check(rule, enough, names.map((n) => `${n} >= ${floor[n]}`).join(', '), tcbText(tcb))
}

function bulletinCheck(name: keyof typeof SNP_FLOORS, report: SnpParsed): Check {
  const rule = 'tcb.bulletin'
  const bulletin: SnpFloor | undefined = SNP_FLOORS[name]
  if (bulletin === undefined) return check(rule, false, 'a bulletin that is known', name)
  const { product } = report
  if (product !== null && bulletin.minimumTcb[product] === undefined) return check(rule, true, `floor of ${name}`, `none for ${product}`)
  const { want, ...found } = floorCheck(rule, bulletin.minimumTcb, report, report.reportedTcb)
  return { ...found, want: `floor of ${name}: ${want}` }
}

function versionChecks(rule: Check['rule'], minimum: FirmwareVersion | undefined, got: string): readonly Check[] {
  if (minimum === undefined) return []
  const want = [minimum.major, minimum.minor, minimum.build]
  const have = got.split('.').map(Number)
  const first = want.findIndex((part, i) => part !== have[i])
  const enough = first === -1 || (have[first] ?? -1) > (want[first] ?? 0)
  return [check(rule, enough, `firmware ${want.join('.')} or later`, got)]
}

function committedCheck(report: SnpParsed): Check {
  const { currentVersion, committedVersion, currentTcb, committedTcb } = report
  const [current, committed] = [`${currentVersion}, ${tcbText(currentTcb)}`, `${committedVersion}, ${tcbText(committedTcb)}`]
  return check('tcb.committed', current === committed, `what runs is committed: ${current}`, committed)
}

function platformChecks(report: SnpParsed, { platformInfo, launchMitigations, currentMitigations }: SnpRequirements): readonly Check[] {
  return [
    ...(platformInfo === undefined ? [] : bitChecks('policy.platform-info', platformInfo, report.platformInfoBits)),
    ...mitigationChecks('tcb.launch-mitigations', launchMitigations, report.launchMitVector),
    ...mitigationChecks('tcb.current-mitigations', currentMitigations, report.currentMitVector),
  ]
}

function mitigationChecks(rule: Check['rule'], wanted: string | undefined, vector: string | null): readonly Check[] {
  if (wanted === undefined) return []
  const want = `all bits of ${wanted}`
  const mask = parseMask(wanted)
  if (vector === null) return [check(rule, false, want, 'none before report version 5')]
  const got = fromHex(vector)
  return [check(rule, (mask & ~readMask(got)) === 0n, want, maskText(got))]
}

function guestChecks(report: SnpParsed, { guestPolicy, minimumAbi, vmpl, minimumGuestSvn }: SnpRequirements): readonly Check[] {
  const { abiMajor, abiMinor } = report.policyBits
  return [
    ...(guestPolicy === undefined ? [] : bitChecks('policy.guest-policy', guestPolicy, report.policyBits)),
    ...(minimumAbi === undefined
      ? []
      : [
          check(
            'policy.guest-abi',
            abiMajor > minimumAbi.major || (abiMajor === minimumAbi.major && abiMinor >= minimumAbi.minor),
            `ABI ${minimumAbi.major}.${minimumAbi.minor} or later`,
            `${abiMajor}.${abiMinor}`,
          ),
        ]),
    ...(vmpl === undefined ? [] : [check('policy.vmpl', report.vmpl === vmpl, `${vmpl}`, `${report.vmpl}`)]),
    ...(minimumGuestSvn === undefined
      ? []
      : [check('policy.guest-svn', report.guestSvn >= minimumGuestSvn, `at least ${minimumGuestSvn}`, `${report.guestSvn}`)]),
  ]
}

function identityChecks(report: SnpParsed, { measurements, hostData, familyIds, imageIds, idBlock }: SnpRequirements): readonly Check[] {
  return [
    ...memberChecks('reference-values.measurement', measurements, report.measurement),
    ...memberChecks('reference-values.host-data', hostData, report.hostData),
    ...memberChecks('reference-values.family-id', familyIds, report.familyId),
    ...memberChecks('reference-values.image-id', imageIds, report.imageId),
    ...(idBlock === undefined ? [] : [idBlockCheck(report, idBlock)]),
  ]
}

/** AMD 56860 section 4.6: the ID key signs the ID block; the author key, where enabled, signs the ID key. */
function idBlockCheck(report: SnpParsed, wanted: NonNullable<SnpRequirements['idBlock']>): Check {
  const { idKeyDigest, authorKeyDigest, authorKeyEn } = report
  const named = (list: readonly string[], digest: string): boolean => !isZeroHex(digest) && list.includes(digest)
  const trusted = named(wanted.idKeyDigests, idKeyDigest) || (authorKeyEn && named(wanted.authorKeyDigests, authorKeyDigest))
  const want = `ID block by one of ${wanted.idKeyDigests.length} ID keys or ${wanted.authorKeyDigests.length} author keys`
  const got = isZeroHex(idKeyDigest) ? 'no ID block' : `ID key ${idKeyDigest}, author key ${authorKeyEn ? authorKeyDigest : 'none'}`
  return check('reference-values.id-block', trusted, want, got)
}

/** A VLEK belongs to a provider: its reports may lack a CHIP_ID without anyone having masked it. */
function chipChecks({ chipId, signingKey }: SnpParsed, { chipIds, acceptMaskedChipId }: SnpRequirements): readonly Check[] {
  const masked = isZeroHex(chipId)
  const want = 'CHIP_ID, or leave to do without'
  const got = 'masked by the platform'
  return [
    ...(masked && signingKey === 'VCEK'
      ? [acceptMaskedChipId === true ? check('policy.masked-chip-id', true, want, got) : unknown('policy.masked-chip-id', want, got)]
      : []),
    ...memberChecks('policy.chip-id', chipIds, masked ? null : chipId),
  ]
}

function isZeroHex(text: string): boolean {
  return /^0*$/.test(text)
}
