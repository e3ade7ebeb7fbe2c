export function closeAggregates(): void {}
