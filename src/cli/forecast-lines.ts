import type { EarlyOutlook, Expiry, Forecast } from '../verify/evidence/forecast.ts'
import { type Paint, table } from './output.ts'

const WHAT: Readonly<Record<Expiry['what'], string>> = {
  vek: 'certificate of the chip',
  issuer: 'certificate of its issuer',
  root: 'root',
  crl: 'CRL',
  pck: 'PCK certificate',
  'pck-issuer': 'certificate of the PCK authority',
  'tcb-signer': 'TCB Signing certificate',
  'root-crl': 'CRL of the root',
  'pck-crl': 'CRL of the PCK authority',
  'tcb-info': 'TCB info',
  'qe-identity': 'QE identity',
  'device-chain': 'certificates of the device',
  'rim-signer': 'certificates of a manifest’s signer',
  ocsp: 'OCSP answer',
  ak: 'certificate of the attestation key',
  leaf: 'signer’s certificate or token',
}

const DAY = 24 * 3600 * 1000
/** Within these days somebody should do something. */
const SOON = 7

/** What the verdict rests upon and when it ends, and what Intel's early TCB info would change. */
export function forecastLines({ expiries, early }: Forecast, at: Date, isEarlyGiven: boolean, paint: Paint): readonly string[] {
  const rows = table(expiries.map((e) => [whenText(e.expires, at), e.expires, WHAT[e.what], shortName(e.name)]))
  const coloured = rows.map((row, i) => {
    const days = daysUntil(expiries[i]?.expires ?? '', at)
    return `  ${days < 0 ? paint.bad(row) : days < SOON ? paint.warn(row) : row}`
  })
  const outlook = early === null ? unfit(isEarlyGiven) : earlyLines(early, at, paint)
  return coloured.length + outlook.length === 0 ? [] : ['forecast: what this rests upon expires', ...coloured, ...outlook]
}

function unfit(isEarlyGiven: boolean): readonly string[] {
  return isEarlyGiven ? ['  early TCB info: none that is for this platform, authentic and current'] : []
}

function earlyLines({ status, tcbEvaluationDataNumber, changes, from, reasons }: EarlyOutlook, at: Date, paint: Paint): readonly string[] {
  const number = `evaluation ${tcbEvaluationDataNumber}`
  if (!changes) return [`  early TCB info (${number}): no change, ${status}`]
  if (status === 'UpToDate') return [`  early TCB info (${number}): becomes UpToDate by ${from}`]
  const because = reasons.length === 0 ? '' : `, because ${reasons.map((r) => r.replace(', needs ', ' and needs ')).join('; ')}`
  return [paint.warn(`  early TCB info (${number}): fails from ${from} (${whenText(from, at)}), ${status}${because}`)]
}

/** Of a distinguished name its CN: people know who Intel and AMD are. */
function shortName(name: string): string {
  return /(?:^|,)CN=([^,]+)/.exec(name)?.[1] ?? name
}

function daysUntil(expires: string, at: Date): number {
  return Math.floor((Date.parse(expires) - at.getTime()) / DAY)
}

/** `in 3 days`, counted from the instant of the verification. */
function whenText(expires: string, at: Date): string {
  const days = daysUntil(expires, at)
  if (days >= 2) return `in ${days} days`
  const hours = Math.trunc((Date.parse(expires) - at.getTime()) / (DAY / 24))
  if (days >= 0) return `in ${hours} hours`
  return hours > -48 ? `${-hours} hours ago` : `${Math.trunc(-hours / 24)} days ago`
}
