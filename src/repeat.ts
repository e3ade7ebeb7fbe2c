// Something that is done now and then again and again, never twice at a time, until it is ended; a failure is told and the next
// time is another try. The timer does not keep the process alive.
export interface Repeated {
  /** No more; resolves when what is under way is over. */
  end(): Promise<void>;
}

export function repeat(work: () => Promise<unknown>, intervalMs: number, failed: (error: Error) => void): Repeated {
  let busy: Promise<void> | null = null;
  const run = (): void => {
    busy ??= work()
      .then(
        () => {},
        (error: unknown) => failed(error as Error),
      )
      .finally(() => {
        busy = null;
      });
  };
  run();
  const timer = setInterval(run, intervalMs);
  timer.unref();
  return {
    async end() {
      clearInterval(timer);
      await busy;
    },
  };
}
