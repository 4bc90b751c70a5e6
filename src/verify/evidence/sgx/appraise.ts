import { fromHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { bitChecks, check, memberChecks } from '../check.ts'
import { maskText, parseMask, readMask } from '../mask.ts'
import type { SgxParsed } from './claims.ts'
import type { SgxRequirements } from './requirements.ts'

/**
 * What a caller or a policy asks of an enclave beyond what holds for every one. Looks at the enclave report alone, so it means
 * something only where the quote verified.
 * @throws AttestError `USAGE` for a mask that is none.
 */
export function appraiseEnclave(report: SgxParsed['enclave'], wanted: SgxRequirements): readonly Check[] {
  const { mrEnclave, signer, configuration, noProvisionKey, attributes, allowedXfrm } = wanted
  const bits = report.attributeBits
  const provisionKey = `PROVISIONKEY ${bits.provisionKey ? 1 : 0}`
  return [
    ...memberChecks('reference-values.mr-enclave', mrEnclave, report.mrEnclave),
    ...(signer === undefined ? [] : [checkSigner(report, signer)]),
    ...(configuration === undefined ? [] : [checkConfiguration(report, configuration)]),
    ...(noProvisionKey ? [check('policy.provision-key', !bits.provisionKey, 'PROVISIONKEY 0', provisionKey)] : []),
    ...(attributes === undefined ? [] : bitChecks('policy.attributes', attributes, bits)),
    ...(allowedXfrm === undefined ? [] : [checkXfrm(bits.xfrm, allowedXfrm)]),
  ]
}

function checkSigner(report: SgxParsed['enclave'], { mrSigner, isvProdId, minimumIsvSvn }: NonNullable<SgxRequirements['signer']>): Check {
  const fits = report.mrSigner === mrSigner && report.isvProdId === isvProdId && report.isvSvn >= minimumIsvSvn
  const want = `MRSIGNER ${mrSigner}, ISVPRODID ${isvProdId}, ISVSVN >= ${minimumIsvSvn}`
  const got = `MRSIGNER ${report.mrSigner}, ISVPRODID ${report.isvProdId}, ISVSVN ${report.isvSvn}`
  return check('reference-values.signer', fits, want, got)
}

function checkConfiguration(report: SgxParsed['enclave'], wanted: NonNullable<SgxRequirements['configuration']>): Check {
  const { configId, minimumConfigSvn } = wanted
  const { kss } = report.attributeBits
  const fits = kss && report.configId === configId && report.configSvn >= minimumConfigSvn
  const want = `KSS 1, CONFIGID ${configId}, CONFIGSVN >= ${minimumConfigSvn}`
  const got = `KSS ${kss ? 1 : 0}, CONFIGID ${report.configId}, CONFIGSVN ${report.configSvn}`
  return check('reference-values.configuration', fits, want, got)
}

function checkXfrm(xfrm: string, allowed: string): Check {
  const got = fromHex(xfrm)
  return check('policy.xfrm', (readMask(got) & ~parseMask(allowed)) === 0n, `XFRM within ${allowed}`, maskText(got))
}
