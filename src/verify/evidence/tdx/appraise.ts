import { fromHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { bitChecks, check, memberChecks, unknown } from '../check.ts'
import { maskText, parseMask, readMask } from '../mask.ts'
import type { TdFields } from './claims.ts'
import { TD_REFERENCES, type TdReferenceName, type TdxRequirements } from './requirements.ts'

/**
 * What a caller or a policy asks of a TD beyond what holds for every one. Looks at the TD report alone, so it means something
 * only where the quote verified.
 * @throws AttestError `USAGE` for a mask that is none.
 */
export function appraiseTd(report: TdFields, wanted: TdxRequirements): readonly Check[] {
  const { septVeDisable, notMigratable, noServiceTd, attributes, allowedXfam } = wanted
  const bits = report.tdAttributeBits
  const got = `TDATTRIBUTES ${bits.raw}`
  const references = Object.keys(TD_REFERENCES) as TdReferenceName[]
  return [
    ...(septVeDisable ? [check('policy.sept-ve-disable', bits.septVeDisable, 'SEPT_VE_DISABLE 1', got)] : []),
    ...(notMigratable ? [check('policy.migratable', !bits.migratable, 'MIGRATABLE 0', got)] : []),
    ...(noServiceTd ? [checkServiceTd(report)] : []),
    ...(attributes === undefined ? [] : bitChecks('policy.td-attributes', attributes, bits)),
    ...(allowedXfam === undefined ? [] : [checkXfam(report, allowedXfam)]),
    ...references.flatMap((name) => memberChecks(`reference-values.${TD_REFERENCES[name]}`, wanted[name], report[name])),
  ]
}

/** Before TDX 1.5 a report does not say; a TD that cannot be migrated has no use for one. */
function checkServiceTd({ mrServiceTd, tdAttributeBits }: TdFields): Check {
  const rule = 'policy.service-td'
  const want = 'no service TD bound'
  if (mrServiceTd !== null) {
    const none = /^0*$/.test(mrServiceTd)
    return check(rule, none, want, none ? 'none' : `MRSERVICETD ${mrServiceTd}`)
  }
  if (!tdAttributeBits.migratable) return check(rule, true, want, 'not migratable; TD report 1.0 names none')
  return unknown(rule, want, 'migratable, and TD report 1.0 does not say')
}

function checkXfam({ xfam }: TdFields, allowed: string): Check {
  const got = fromHex(xfam)
  return check('policy.xfam', (readMask(got) & ~parseMask(allowed)) === 0n, `XFAM within ${allowed}`, maskText(got))
}
