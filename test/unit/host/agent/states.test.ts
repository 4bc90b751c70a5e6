import { describe, expect, it } from 'vitest'
import { Backoff } from '../../../../src/host/agent/backoff.ts'
import { AgentStates, LINK_TRANSITIONS, type LinkEvent, WORK_TRANSITIONS, type WorkEvent } from '../../../../src/host/agent/states.ts'

const LINK_EVENTS: LinkEvent[] = ['connected', 'challenged', 'accepted', 'rejected', 'disconnected']
const WORK_EVENTS: WorkEvent[] = ['job-started', 'job-ended', 'stop']

/** Shortest ways into each state. */
const LINK_PATHS: Record<keyof typeof LINK_TRANSITIONS, LinkEvent[]> = {
  connecting: [],
  attesting: ['connected'],
  idle: ['connected', 'accepted'],
  quarantined: ['connected', 'rejected'],
}
const WORK_PATHS: Record<keyof typeof WORK_TRANSITIONS, WorkEvent[]> = {
  free: [],
  running: ['job-started'],
  draining: ['job-started', 'stop'],
  stopped: ['stop'],
}

describe('states of the agent', () => {
  for (const [from, path] of Object.entries(LINK_PATHS)) {
    for (const event of LINK_EVENTS) {
      const to = LINK_TRANSITIONS[from as keyof typeof LINK_TRANSITIONS][event]
      it(`link: ${from} + ${event} → ${to ?? 'a defect'}`, () => {
        const states = new AgentStates(() => {})
        for (const e of path) states.link(e)
        expect(states.current).toBe(from)
        if (to === undefined) expect(() => states.link(event)).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
        else states.link(event)
        expect(states.current).toBe(to ?? from)
      })
    }
  }

  for (const [from, path] of Object.entries(WORK_PATHS)) {
    for (const event of WORK_EVENTS) {
      const to = WORK_TRANSITIONS[from as keyof typeof WORK_TRANSITIONS][event]
      it(`work: ${from} + ${event} → ${to ?? 'a defect'}`, () => {
        const states = new AgentStates(() => {})
        for (const e of path) states.work(e)
        const before = states.current
        if (to === undefined) expect(() => states.work(event)).toThrow(expect.objectContaining({ code: 'INTERNAL' }))
        else states.work(event)
        expect(states.current).toBe(to === undefined ? before : to === 'free' ? 'connecting' : to)
      })
    }
  }

  it('keeps running through a lost connection and a refusal, then shows how it stands', () => {
    const seen: string[] = []
    const states = new AgentStates((s) => seen.push(s))
    states.link('connected')
    states.link('accepted')
    states.work('job-started')
    states.link('disconnected')
    states.link('connected')
    states.link('rejected')
    expect(states.current).toBe('running')
    states.work('job-ended')
    expect(seen).toEqual(['attesting', 'idle', 'running', 'quarantined'])
  })
})

describe('backoff', () => {
  it('grows with jitter up to 30 s and starts over after success', () => {
    for (const random of [0, 0.5, 0.999]) {
      const backoff = new Backoff(() => random)
      const waits = Array.from({ length: 40 }, () => backoff.next())
      expect(waits[0]).toBe(Math.round(125 + 125 * random))
      expect(waits.slice(1, 8).every((w, i) => w >= (waits[i] ?? 0))).toBe(true)
      expect(Math.max(...waits)).toBeLessThanOrEqual(30_000)
      expect(waits.at(-1)).toBe(Math.round(15_000 + 15_000 * random))
      backoff.reset()
      expect(backoff.next()).toBe(waits[0])
    }
  })
})
