import type { TcbFloor } from './requirements.ts'

export type SnpFloorName = 'AMD-SB-3019'

/** What a bulletin of AMD asks of REPORTED_TCB. */
export interface SnpFloor {
  readonly cve: string
  /** Where AMD published it. */
  readonly published: string
  readonly minimumTcb: TcbFloor
}

/**
 * Floors by AMD's number of the bulletin, for requirements to name; none applies unless it is named. Levels as quoted from the
 * bulletins in public trackers (microsoft/CCF issue 6812), read on 2026-11-27. A product that a bulletin gives no level for
 * has no floor by it.
 */
export const SNP_FLOORS: Readonly<Record<SnpFloorName, SnpFloor>> = {
  'AMD-SB-3019': {
    cve: 'CVE-2024-56161',
    published: 'https://www.amd.com/en/resources/product-security/bulletin/amd-sb-3019.html',
    minimumTcb: { Milan: { snp: 0x18 }, Genoa: { snp: 0x17 } },
  },
}
