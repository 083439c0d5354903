//! One source row as an arrival, and as the truth about it.

use std::collections::BTreeMap;

use crate::contracts::mapping::Earlier;
use crate::contracts::payload::AttributeValue;
use crate::contracts::world::{Arrival, Entities, Payment};
use crate::domain::ids::EventId;
use crate::domain::time::Time;
use crate::domain::vocabulary::{ArrivalKind, LabelType};
use crate::ingress::world::amount;
use crate::ingress::world::bind::{Arrivals, Observed, Payments, Truths, When};
use crate::ingress::world::cell::{Cell, shape};
use crate::ingress::world::field::{Fault, Field};
use crate::ingress::world::moment;
use crate::ingress::world::table::Batch;

impl When {
    pub(crate) fn read(&self, batch: &Batch, row: usize) -> Result<Time, Fault> {
        let cell = batch.cell(self.at, row);
        moment::read(cell, &self.format).map_err(|message| Fault {
            column: self.name.clone(),
            found: cell.shape(),
            message: message.to_owned(),
            line: self.line,
        })
    }
}

impl Arrivals {
    /// The source's id of a row; its number where the mapping names none.
    pub(crate) fn row_id(&self, batch: &Batch, row: usize) -> Result<String, Fault> {
        match &self.row_id {
            Some(field) => field.required(batch, row),
            None => Ok((batch.rows_before + row as u64 + 1).to_string()),
        }
    }

    /// The fault of a row that is faulty as a whole, said of its id.
    pub(crate) fn id_fault(&self, row_id: &str, message: String) -> Fault {
        let line = self.row_id.as_ref().map_or(self.ts.line, |it| it.line);
        Fault {
            column: self
                .row_id
                .as_ref()
                .map_or_else(|| "(row number)".to_owned(), Field::column),
            found: format!("text of the shape `{}`", shape(row_id)),
            message,
            line,
        }
    }

    /// An arrival without its places: `index` and `arrival_seq` are 0. `source` is the first half
    /// of the event's id.
    pub(crate) fn arrival(
        &self,
        source: &str,
        row_id: &str,
        ts_utc: Time,
        batch: &Batch,
        row: usize,
    ) -> Result<Arrival, Fault> {
        let event_id = format!("{source}:{row_id}");
        let event_id: EventId = event_id.parse().map_err(|_| {
            self.id_fault(row_id, "an event id has at most 128 characters".to_owned())
        })?;
        let payment = self.payment.as_ref();
        let mut arrival = Arrival {
            index: 0,
            event_id,
            ts_utc,
            kind: match payment {
                Some(_) => ArrivalKind::Payment,
                None => ArrivalKind::Link,
            },
            merchant_id: self.merchant_id.required(batch, row)?,
            arrival_seq: 0,
            mcc: None,
            country: None,
            entities: self.entities(batch, row)?,
            payment: None,
        };
        if let Some(payments) = payment {
            arrival.mcc = optional(payments.mcc.as_ref(), batch, row)?;
            arrival.country = optional(payments.country.as_ref(), batch, row)?;
            arrival.payment = Some(payments.payment(batch, row)?);
        }
        Ok(arrival)
    }

    fn entities(&self, batch: &Batch, row: usize) -> Result<Entities, Fault> {
        let mut entities = Entities::default();
        for (name, field) in &self.entities {
            let value = match *name {
                // A decision is about a customer.
                "customer_id" if self.payment.is_some() => Some(field.required(batch, row)?),
                _ => field.optional(batch, row)?,
            };
            let slot = match *name {
                "customer_id" => &mut entities.customer_id,
                "account_id" => &mut entities.account_id,
                "card_id" => &mut entities.card_id,
                "device_id" => &mut entities.device_id,
                "ip" => &mut entities.ip,
                "terminal_id" => &mut entities.terminal_id,
                _ => &mut entities.beneficiary_id,
            };
            *slot = value;
        }
        Ok(entities)
    }
}

fn optional(field: Option<&Field>, batch: &Batch, row: usize) -> Result<Option<String>, Fault> {
    match field {
        Some(field) => field.optional(batch, row),
        None => Ok(None),
    }
}

impl Payments {
    fn payment(&self, batch: &Batch, row: usize) -> Result<Payment, Fault> {
        let cell = batch.cell(self.amount.at, row);
        let amount_minor = amount::minor(cell, self.amount.scale).map_err(|refused| Fault {
            column: self.amount.name.clone(),
            found: cell.shape(),
            message: refused.message().to_owned(),
            line: self.amount.line,
        })?;
        let channel = self.channel.required(batch, row)?;
        let mut attributes = BTreeMap::new();
        for (name, field) in &self.attributes {
            if let Some(value) = attribute(field, batch, row)? {
                attributes.insert(name.clone(), value);
            }
        }
        Ok(Payment {
            amount_minor,
            currency: self.currency.required(batch, row)?,
            channel: channel.parse().map_err(|_| {
                self.channel
                    .fault(format!("`{}`", shape(&channel)), "no channel")
            })?,
            attributes,
        })
    }
}

/// Integers and bools stay what they are; a decimal is text, for events hold no other numbers.
fn attribute(field: &Field, batch: &Batch, row: usize) -> Result<Option<AttributeValue>, Fault> {
    Ok(match field.cell(batch, row) {
        Some(Cell::Int(value)) => Some(AttributeValue::Int(value)),
        Some(Cell::Bool(value)) => Some(AttributeValue::Bool(value)),
        _ => field.optional(batch, row)?.map(AttributeValue::Text),
    })
}

/// What one truth rule says of a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) label_type: LabelType,
    pub(crate) value: String,
    pub(crate) observed_time: Time,
    pub(crate) scenario: String,
}

impl Truths {
    /// `None` where the value, or the time of learning it, is absent.
    pub(crate) fn read(
        &self,
        ts_utc: Time,
        batch: &Batch,
        row: usize,
    ) -> Result<Option<Known>, Fault> {
        let Some(value) = self.value.optional(batch, row)? else {
            return Ok(None);
        };
        let observed_time = match &self.observed {
            Observed::After { micros } => ts_utc.plus_micros(*micros),
            Observed::At(when) if batch.cell(when.at, row) == Cell::Null => return Ok(None),
            Observed::At(when) => when.read(batch, row)?,
        };
        let observed_time = match self.earlier {
            Earlier::AtPayment => observed_time.max(ts_utc),
            Earlier::Refused => observed_time,
        };
        if observed_time < ts_utc {
            let message = "truth is observed before its payment; earlier: at_payment takes it";
            return Err(self.value.fault("an earlier time".to_owned(), message));
        }
        let scenario = optional(self.scenario.as_ref(), batch, row)?;
        Ok(Some(Known {
            label_type: self.label_type,
            value,
            observed_time,
            scenario: scenario.unwrap_or_default(),
        }))
    }
}
