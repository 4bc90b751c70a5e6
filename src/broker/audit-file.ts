import { open } from 'node:fs/promises'
import { fileError } from '../client/files.ts'

/** What somebody does with the keys of a broker. Names of keys, never keys. */
export type AuditEvent =
  | { readonly event: 'accept'; readonly owner: string; readonly grant: string; readonly datasets: readonly string[] }
  | { readonly event: 'revoke' | 'withdraw-grant'; readonly grant: string; readonly datasets: readonly string[] }
  | { readonly event: 'withdraw-dataset'; readonly dataset: string }
  | { readonly event: 'rotate'; readonly epoch: number; readonly rewrapped: number; readonly resumed: boolean }
  | { readonly event: 'destroy-kek'; readonly epoch: number; readonly kek: string; readonly when: string }

/** One line of JSON for each act, appended. It tells an honest operator what happened; who holds the folder can change it. */
export class AuditFile {
  readonly #path: string
  readonly #now: () => Date

  constructor(path: string, now: () => Date) {
    this.#path = path
    this.#now = now
  }

  /** Durable when it returns. The act is done by then: a crash in between costs its line. */
  async append(event: AuditEvent): Promise<void> {
    try {
      const file = await open(this.#path, 'a', 0o600)
      try {
        await file.appendFile(`${JSON.stringify({ at: this.#now().toISOString(), ...event })}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (cause) {
      throw fileError(cause, this.#path)
    }
  }
}
