// Every parser and verifier, where its inputs come from, and what it promises beside the common promise (loop.mjs): nothing comes out
// but a value, a verdict or an AttestError, within 250 ms, and the input stays as it was. Cheap ones first: they leave time to others.
import { archiveTargets } from './targets-archive.mjs'
import { attesterTargets } from './targets-attesters.mjs'
import { brokerTargets } from './targets-broker.mjs'
import { documentTargets } from './targets-documents.mjs'
import { evidenceTargets } from './targets-evidence.mjs'
import { formatTargets } from './targets-formats.mjs'
import { logTargets } from './targets-log.mjs'
import { nvidiaTargets } from './targets-nvidia.mjs'
import { tokenTargets } from './targets-tokens.mjs'
import { tpmTargets } from './targets-tpm.mjs'
import { verifyTargets } from './targets-verify.mjs'

/** `open(context)` gives `{seeds, run}`; context is `{load, tolerate}`, see worker.mjs. */
export const targets = [
  ...formatTargets,
  ...archiveTargets,
  ...attesterTargets,
  ...evidenceTargets,
  ...nvidiaTargets,
  ...logTargets,
  ...documentTargets,
  ...brokerTargets,
  ...tokenTargets,
  ...tpmTargets,
  ...verifyTargets,
]
