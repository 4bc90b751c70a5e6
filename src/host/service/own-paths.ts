import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import { answerJson, EVIDENCE_PATH, readSmall, refuse, SESSION_PATH } from '../../rpc/service/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { bundleToJson, type EvidenceBundle } from '../../verify/documents/evidence-bundle.ts'
import { bytesField } from '../../verify/documents/fields.ts'
import type { SessionLog } from './sessions.ts'

const question = z.strictObject({ nonce: bytesField(32) })
const MAX_QUESTION_SIZE = 256
/** A TEE may take its time over each. */
const MAX_QUESTIONS = 16

/** What the enclave answers itself on the channel. */
export class OwnPaths {
  readonly #renew: (nonce: Uint8Array) => Promise<EvidenceBundle>
  #working: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(renew: (nonce: Uint8Array) => Promise<EvidenceBundle>) {
    this.#renew = renew
  }

  async answer(request: IncomingMessage, response: ServerResponse, log: SessionLog): Promise<void> {
    try {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://enclave')
      if (pathname === EVIDENCE_PATH && request.method === 'POST') return await this.#evidence(request, response)
      const from = Number(searchParams.get('from') ?? 0)
      if (pathname === SESSION_PATH && request.method === 'GET' && Number.isSafeInteger(from))
        return answerJson(response, 200, await log.answer(from))
      request.resume()
      refuse(response, 404, 'NOT_FOUND', 'no such path')
    } catch {
      refuse(response, 500, 'INTERNAL', 'the enclave could not answer')
    }
  }

  async #evidence(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const nonce = readQuestion(await readSmall(request, MAX_QUESTION_SIZE))
    if (nonce === null) return refuse(response, 400, 'DOCUMENT_INVALID', 'want {"nonce":base64url of 32 bytes}')
    if (this.#waiting >= MAX_QUESTIONS) return refuse(response, 429, 'LIMIT_EXCEEDED', 'too many ask for evidence')
    this.#waiting++
    const evidence = this.#working.then(() => this.#renew(nonce))
    this.#working = evidence.catch(() => undefined)
    try {
      answerJson(response, 200, bundleToJson(await evidence))
    } finally {
      this.#waiting--
    }
  }
}

function readQuestion(body: Buffer | null): Uint8Array | null {
  try {
    return fromBase64Url(question.parse(JSON.parse(body?.toString('utf8') ?? '')).nonce)
  } catch {
    return null
  }
}
