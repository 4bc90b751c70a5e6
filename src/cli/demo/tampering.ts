import type { Client, RemoteEvidence } from '../../client/index.ts'
import { random } from '../../client/owner.ts'
import { bundleFromWire, bundleToWire, bytesOf, sealgate } from '../../rpc/index.ts'
import { generateKemKey } from '../../seal/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { encodeBinding, parseBinding } from '../../verify/documents/binding.ts'
import { parseIntent } from '../../verify/documents/intent.ts'
import { commitmentOf, encodeLeaf } from '../../verify/documents/leaf.ts'
import { parseCheckpoint } from '../../verify/tlog/index.ts'
import type { Tamper } from './relay.ts'

const { ConnectResponse, GetJobEvidenceResponse, LogReleaseIntentRequest, LogReleaseIntentResponse } = sealgate.v1

/** Answers every question for evidence with evidence that was made for an earlier job. */
export function replayEvidence({ bundle, checkpoint, endorsements }: RemoteEvidence): Tamper {
  return ({ method, direction, bytes }) => {
    if (method !== 'GetJobEvidence' || direction !== 'down') return [bytes]
    const { ownerNonces } = GetJobEvidenceResponse.decode(bytes)
    const old = { evidence: bundleToWire(bundle), checkpoint, ownerNonces, endorsements: [...endorsements] }
    return [Buffer.from(GetJobEvidenceResponse.encode(old).finish())]
  }
}

/** Puts a key of the gateway's own where the enclave's key stands, so that the data key would be sealed to the gateway. */
export const exchangeKey: Tamper = async ({ method, direction, bytes }) => {
  if (method !== 'GetJobEvidence' || direction !== 'down') return [bytes]
  const answer = GetJobEvidenceResponse.decode(bytes)
  const bundle = bundleFromWire(answer.evidence)
  const binding = parseBinding(bundle.binding)
  const own = await generateKemKey(binding.kem.suite, random)
  answer.evidence = bundleToWire({ ...bundle, binding: encodeBinding({ ...binding, kem: own.publicKey }) })
  return [Buffer.from(GetJobEvidenceResponse.encode(answer).finish())]
}

/** Never logs the release intent; answers with an entry that looks right and is in no log. */
export function pretendToLog(client: Client): Tamper {
  return async ({ method, direction, bytes }) => {
    if (method !== 'LogReleaseIntent' || direction !== 'up') return [bytes]
    const request = LogReleaseIntentRequest.decode(bytes)
    const jws = bytesOf(request.intentJws)
    const { payload } = JSON.parse(new TextDecoder().decode(jws)) as { payload: string }
    const intent = parseIntent(fromBase64Url(payload))
    const leaf = encodeLeaf({
      v: 1,
      type: 'release',
      commitment: await commitmentOf(bytesOf(request.salt), jws),
      tags: intent.slots.map((s) => s.tag).sort(),
      ends: [],
      deadline: intent.deadline,
    })
    const checkpoint = await client.checkpoint()
    const { size } = parseCheckpoint(checkpoint)
    const inclusionProof = [...(await client.inclusionProof(size - 1, size))]
    const entry = { leaf, salt: request.salt, index: size - 1, inclusionProof, checkpoint }
    return { answer: Buffer.from(LogReleaseIntentResponse.encode({ entry }).finish()) }
  }
}

/** Hands keys to the enclave with an inclusion proof that proves nothing. */
export const forgeInclusion: Tamper = ({ method, direction, bytes }) => {
  if (method !== 'Connect' || direction !== 'down') return [bytes]
  const message = ConnectResponse.decode(bytes)
  if (!message.keyRelease) return [bytes]
  const parts = (message.keyRelease.parts ?? []).map((part) => {
    const inclusionProof = (part.entry?.inclusionProof ?? []).map(() => random(32))
    return { ...part, entry: { ...part.entry, inclusionProof } }
  })
  const keyRelease = { ...message.keyRelease, parts }
  return [Buffer.from(ConnectResponse.encode({ keyRelease }).finish())]
}
