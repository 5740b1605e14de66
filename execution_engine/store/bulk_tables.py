"""The tables of operations on many for SQLAlchemy Core; the same test holds them to the migrations."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from execution_engine.store.tables import METADATA

bulk_operation = sa.Table(
    "bulk_operation",
    METADATA,
    sa.Column("account_id", sa.BigInteger, primary_key=True),
    sa.Column("operation_id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("params_sealed", sa.LargeBinary, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("per_tick", sa.Integer, nullable=False),
    sa.Column("tick", sa.Interval, nullable=False),
    sa.Column("next_at", sa.DateTime(timezone=True)),
    sa.Column("cursor", sa.Uuid),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("listed", sa.Boolean, nullable=False),
    sa.Column("outcomes", sa.Text, nullable=False),
)
bulk_item = sa.Table(
    "bulk_item",
    METADATA,
    sa.Column("account_id", sa.BigInteger, primary_key=True),
    sa.Column("operation_id", sa.Uuid, primary_key=True),
    sa.Column("item", sa.Integer, primary_key=True),
    sa.Column("subject", sa.Uuid, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("execution_id", sa.Uuid),
)
bulk_list = sa.Table(
    "bulk_list",
    METADATA,
    sa.Column("account_id", sa.BigInteger, primary_key=True),
    sa.Column("operation_id", sa.Uuid, primary_key=True),
    sa.Column("first", sa.Integer, primary_key=True),
    sa.Column("subjects", ARRAY(sa.Uuid), nullable=False),
    sa.Column("repeats", ARRAY(sa.Integer), nullable=False),
)
bulk_answer = sa.Table(
    "bulk_answer",
    METADATA,
    sa.Column("account_id", sa.BigInteger, primary_key=True),
    sa.Column("operation_id", sa.Uuid, primary_key=True),
    sa.Column("first", sa.Integer, primary_key=True),
    sa.Column("outcomes", ARRAY(sa.Text), nullable=False),
    sa.Column("execution_ids", ARRAY(sa.Uuid), nullable=False),
)
