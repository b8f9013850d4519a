mod bench;
mod commands;
mod hostile;
mod queues;
