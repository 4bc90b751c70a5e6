import type { SqlitePort } from '../../../src/gateway/store/sqlite.ts'

/** When a commit fails: before anything is durable, or after everything is. */
export type CommitFault = 'before' | 'after'

/** A database whose next commit can be made to fail, as a crash or a disk would. */
export class CommitFaults {
  #next: CommitFault | null = null
  #skip = 0

  /** @param skip - commits that still go through. */
  arm(fault: CommitFault, skip = 0): void {
    this.#next = fault
    this.#skip = skip
  }

  wrap = (port: SqlitePort): SqlitePort => ({
    ...port,
    prepare: (sql) => {
      const statement = port.prepare(sql)
      if (sql !== 'commit') return statement
      return { ...statement, run: (parameters) => this.#commit(() => statement.run(parameters)) }
    },
  })

  #commit<T>(commit: () => T): T {
    const fault = this.#skip-- > 0 ? null : this.#next
    if (fault === null) return commit()
    this.#next = null
    if (fault === 'after') commit()
    throw new Error(`the disk failed ${fault} the commit`)
  }
}
