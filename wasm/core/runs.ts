export function closeRuns(): void {}
