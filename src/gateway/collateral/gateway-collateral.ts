import { join } from 'node:path'
import type { Logger } from 'pino'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { FORMATS } from '../../verify/evidence/types.ts'
import type { CollateralSource } from '../appraiser.ts'
import type { Clock } from '../clock.ts'
import { GATEWAY_FILES, type GatewayConfig, readText } from '../config/config.ts'
import { loadCollateral } from './local.ts'
import { type OpenCollateral, openCollateral } from './open-collateral.ts'
import type { Warn } from './service.ts'

/**
 * The collateral of a gateway folder: cache, configuration, files it names.
 * @throws AttestError `FILE_UNREADABLE`, `DISK_FULL`.
 */
export function openGatewayCollateral(
  folder: string,
  { collateral: config, simulatedRoots }: GatewayConfig,
  { clock, warn }: { readonly clock: Clock; readonly warn: Warn },
): Promise<OpenCollateral> {
  const read = (name: string | undefined): string | null => (name === undefined ? null : readText(join(folder, name)))
  return openCollateral({
    folder: join(folder, GATEWAY_FILES.collateralCache),
    config,
    intelKey: read(config.intelKeyFile)?.trim() ?? null,
    ca: read(config.caFile),
    trustAnchors: simulatedRoots.map(fromBase64Url),
    clock,
    random: Math.random,
    warn,
  })
}

/** For a running gateway: the files that its operator laid down, then what the evidence needs besides. */
export async function gatewayCollateral(
  folder: string,
  config: GatewayConfig,
  clock: Clock,
  logger: Logger,
): Promise<{ readonly source: CollateralSource; close(): Promise<void> }> {
  const local = await loadCollateral(join(folder, GATEWAY_FILES.collateral))
  const warn: Warn = (details, message) => logger.warn(details, message)
  const opened = await openGatewayCollateral(folder, config, { clock, warn })
  return {
    close: () => opened.close(),
    async source({ cpu, endorsements }) {
      const format = FORMATS.find((f) => f === cpu.format)
      if (format === undefined || format === 'bundle') return local
      const { items, failures } = await opened.service.gather({ format, report: cpu.report, endorsements: [...endorsements, ...local] })
      if (config.collateral.fetch)
        for (const { name, error } of failures) warn({ name, error: `${error.code}: ${error.message}` }, 'collateral is missing')
      const known = new Set([...endorsements, ...local].map((bytes) => Buffer.from(bytes).toString('base64')))
      const more = items.map((item) => item.bytes).filter((bytes) => !known.has(Buffer.from(bytes).toString('base64')))
      return [...local, ...more]
    },
  }
}
