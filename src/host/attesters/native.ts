import { AttestError } from '../../verify/errors.ts'

/** The foreign-function interface. Its package is optional: a host with configfs-tsm and no GPU does without. */
export type Koffi = typeof import('koffi')

/**
 * @param load - For tests.
 * @throws AttestError `ATTESTER_UNAVAILABLE` where the package is missing or has no build for this machine.
 */
export async function loadKoffi(load: () => Promise<{ readonly default: unknown }> = () => import('koffi')): Promise<Koffi> {
  try {
    return (await load()).default as Koffi
  } catch (cause) {
    const message = 'calls into the kernel and NVML need the optional package koffi: npm install koffi'
    throw new AttestError('ATTESTER_UNAVAILABLE', message, { at: 'koffi', cause })
  }
}
