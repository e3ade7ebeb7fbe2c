export function ethernetInput(): void {}
