import type { JobEvent } from '../client/index.ts'
import { progressText } from './job-text.ts'
import type { Output } from './output.ts'

/** Tells what happens as it happens: lines that stay, for people. */
export function showEvent(output: Output, event: JobEvent): void {
  const { paint } = output
  switch (event.kind) {
    case 'created':
      output.line(`Job ${event.contract.contract.jobId} is accepted; waiting for an enclave.`)
      break
    case 'state':
      output.progress(progressText(event.job))
      break
    case 'attested': {
      const { simulated, measurement, checks } = event.enclave
      output.line(`Evidence verified here: ${checks.length} checks, measurement ${measurement ?? 'none'}.`)
      if (simulated) output.line(paint.warn('The evidence is SIMULATED: it proves nothing about hardware.'))
      break
    }
    case 'logged':
      output.line(`Release intent is in the log as entry ${event.logged.entry.index}; inclusion verified here.`)
      break
    case 'released':
      output.line('Key sealed to the enclave and released.')
      break
    case 'receipt':
      output.line(`Receipt verified here: ${event.receipt.verdict.checks.length} checks.`)
      break
    case 'download':
      output.progress(`Fetching results ${Math.floor((100 * event.done) / event.total)} %`)
      break
  }
}
