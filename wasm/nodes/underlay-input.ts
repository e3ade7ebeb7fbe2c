export function underlayInput(): void {}
