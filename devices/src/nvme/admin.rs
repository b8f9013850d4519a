//! Admin commands (NVM Express 1.4, chapter 5).

use super::features::VOLATILE_WRITE_CACHE;
use super::log::{self, DoorbellError};
use super::prp::PAGE;
use super::queue::{Command, CompletionQueue, ENTRIES_MAX, SubmissionQueue};
use super::status::Status;
use super::{ALL_NAMESPACES, IO_QUEUES, NAMESPACE, Nvme, TRANSFER_MAX, VECTORS, identify};
use crate::device::DeviceCtx;

const DELETE_SUBMISSION_QUEUE: u8 = 0x00;
const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
const GET_LOG_PAGE: u8 = 0x02;
const DELETE_COMPLETION_QUEUE: u8 = 0x04;
const CREATE_COMPLETION_QUEUE: u8 = 0x05;
const IDENTIFY: u8 = 0x06;
const ABORT: u8 = 0x08;
const SET_FEATURES: u8 = 0x09;
const GET_FEATURES: u8 = 0x0a;
const ASYNC_EVENT_REQUEST: u8 = 0x0c;

/// CDW11 of a queue to be created.
const PHYSICALLY_CONTIGUOUS: u32 = 1 << 0;
const INTERRUPTS: u32 = 1 << 1;
/// CDW10 of GET LOG PAGE: the event stays as it is.
const RETAIN_EVENT: u32 = 1 << 15;
/// CDW10 of SET FEATURES.
const SAVE: u32 = 1 << 31;
/// CDW10 of GET FEATURES: which of a feature's values, 0 being the current one.
const SELECT: u32 = 7 << 8;

impl Nvme {
    /// Carries a command out: dword 0 of its completion, or none yet.
    pub(super) fn admin(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<Option<u32>, Status> {
        command.check_flags()?;
        let registers = &mut self.registers;
        let feature = command.cdw10 as u8;
        match command.opcode {
            DELETE_SUBMISSION_QUEUE => self.delete_submission(command),
            CREATE_SUBMISSION_QUEUE => self.create_submission(command),
            GET_LOG_PAGE => self.get_log_page(cx, command),
            DELETE_COMPLETION_QUEUE => self.delete_completion(command),
            CREATE_COMPLETION_QUEUE => self.create_completion(command),
            IDENTIFY => self.identify(cx, command),
            ABORT => return Ok(Some(self.abort(command.cdw10))),
            SET_FEATURES if command.cdw10 & SAVE != 0 => Err(Status::NOT_SAVEABLE),
            SET_FEATURES => return self.set_features(cx, command).map(Some),
            GET_FEATURES if command.cdw10 & SELECT != 0 => Err(Status::INVALID_FIELD),
            GET_FEATURES => return registers.features.get(feature, command.cdw11).map(Some),
            ASYNC_EVENT_REQUEST => return registers.events.request(command.id).map(|()| None),
            _ => Err(Status::INVALID_OPCODE),
        }
        .map(|()| Some(0))
    }

    /// What queues to be created have in common: identifier and entries.
    fn new_queue(&self, command: &Command, taken: impl Fn(u16) -> bool) -> Result<(u16, u16), Status> {
        let (id, last) = (command.cdw10 as u16, command.cdw10 >> 16);
        if id == 0 || id > IO_QUEUES || taken(id) {
            return Err(Status::INVALID_QUEUE);
        }
        if last == 0 || last >= u32::from(ENTRIES_MAX) {
            return Err(Status::INVALID_QUEUE_SIZE);
        }
        if command.cdw11 & PHYSICALLY_CONTIGUOUS == 0 || !self.registers.controller.has_entry_sizes() {
            return Err(Status::INVALID_FIELD);
        }
        if !command.queue_base().is_multiple_of(PAGE) {
            return Err(Status::PRP_OFFSET);
        }
        Ok((id, last as u16 + 1))
    }

    fn create_completion(&mut self, command: &Command) -> Result<(), Status> {
        let taken = |id| self.registers.completion.iter().any(|queue| queue.id == id);
        let (id, size) = self.new_queue(command, taken)?;
        let vector = (command.cdw11 >> 16) as u16;
        if vector >= VECTORS {
            return Err(Status::INVALID_VECTOR);
        }
        let vector = Some(vector).filter(|_| command.cdw11 & INTERRUPTS != 0);
        let queues = &mut self.registers.completion;
        let at = queues.partition_point(|queue| queue.id < id);
        queues.insert(at, CompletionQueue::new(id, command.queue_base(), size, vector));
        Ok(())
    }

    fn create_submission(&mut self, command: &Command) -> Result<(), Status> {
        let taken = |id| self.registers.submission.iter().any(|queue| queue.id == id);
        let (id, size) = self.new_queue(command, taken)?;
        let completion = (command.cdw11 >> 16) as u16;
        if completion == 0 || !self.registers.completion.iter().any(|queue| queue.id == completion) {
            return Err(Status::INVALID_COMPLETION_QUEUE);
        }
        let queues = &mut self.registers.submission;
        let at = queues.partition_point(|queue| queue.id < id);
        queues.insert(at, SubmissionQueue::new(id, command.queue_base(), size, completion));
        Ok(())
    }

    fn delete_submission(&mut self, command: &Command) -> Result<(), Status> {
        let id = command.cdw10 as u16;
        let queues = &self.registers.submission;
        let at = queues.iter().position(|queue| queue.id == id && id != 0).ok_or(Status::INVALID_QUEUE)?;
        self.take_back(|flight| flight.queue == id, Status::QUEUE_DELETED);
        self.registers.submission.remove(at);
        Ok(())
    }

    fn delete_completion(&mut self, command: &Command) -> Result<(), Status> {
        let id = command.cdw10 as u16;
        let registers = &mut self.registers;
        let at = registers.completion.iter().position(|queue| queue.id == id && id != 0);
        let at = at.ok_or(Status::INVALID_QUEUE)?;
        if registers.submission.iter().any(|queue| queue.completion == id) {
            return Err(Status::INVALID_QUEUE_DELETION);
        }
        registers.completion.remove(at);
        registers.waiting.retain(|completion| completion.completion != id);
        Ok(())
    }

    /// Takes a command back, if it is under way; dword 0 says 1 if it is not.
    fn abort(&mut self, cdw10: u32) -> u32 {
        let (queue, id) = (cdw10 as u16, (cdw10 >> 16) as u16);
        if queue == 0 && self.registers.events.cancel(id) {
            self.complete(0, id, Status::ABORTED, 0);
            return 0;
        }
        let taken =
            self.take_back(|flight| flight.queue == queue && flight.command.id == id, Status::ABORTED);
        u32::from(!taken)
    }

    /// A cache that is turned off is emptied.
    fn set_features(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<u32, Status> {
        let feature = command.cdw10 as u8;
        let result = self.registers.features.set(feature, command.cdw11)?;
        if feature == VOLATILE_WRITE_CACHE && !self.registers.features.write_cache() {
            self.commit(cx)?;
        }
        Ok(result)
    }

    fn identify(&self, cx: &mut DeviceCtx, command: &Command) -> Result<(), Status> {
        let nsid = command.nsid;
        let structure = match (command.cdw10 as u8, nsid) {
            (0x00, NAMESPACE) => identify::namespace(self.disk, &self.config),
            (0x00, ALL_NAMESPACES) => identify::common_namespace(),
            (0x01, _) => identify::controller(self.disk),
            (0x02, 0..0xffff_fffe) => identify::active_namespaces(nsid),
            (0x03, NAMESPACE) => identify::descriptors(self.disk),
            (0x00 | 0x02 | 0x03, _) => return Err(Status::INVALID_NAMESPACE),
            _ => return Err(Status::INVALID_FIELD),
        };
        command.data().write(cx.dma, &structure)
    }

    fn get_log_page(&mut self, cx: &mut DeviceCtx, command: &Command) -> Result<(), Status> {
        let dwords = u64::from(command.cdw10 >> 16) | u64::from(command.cdw11 & 0xffff) << 16;
        let (len, offset) = ((dwords + 1) * 4, u64::from(command.cdw13) << 32 | u64::from(command.cdw12));
        if !matches!(command.nsid, 0 | ALL_NAMESPACES) || len > TRANSFER_MAX || !offset.is_multiple_of(4) {
            return Err(Status::INVALID_FIELD);
        }
        let (keep, now) = (command.cdw10 & RETAIN_EVENT != 0, cx.now());
        let registers = &mut self.registers;
        let page = log::page(command.cdw10 as u8, keep, now, &mut registers.events, &registers.counters)?;
        let rest = usize::try_from(offset).ok().and_then(|offset| page.get(offset..));
        let mut bytes = rest.ok_or(Status::INVALID_FIELD)?.to_vec();
        bytes.resize(len as usize, 0);
        command.data().write(cx.dma, &bytes)
    }

    /// A doorbell was misused: the driver hears of it, if it asked to.
    pub(super) fn misused(&mut self, error: DoorbellError) {
        tracing::debug!(target: "nvme", "disk{}: doorbell: no such {error:?}", self.disk);
        self.registers.events.raise(error);
    }
}
