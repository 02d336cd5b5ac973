/* Tables by Apache Arrow, a module that data/table_module.c loads. Arrow's interface is C++;
 * nothing else here is. */
#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>

#include <exception>
#include <memory>
#include <string>

#include "data/table_module.h" /* last, because its macro OK would change Arrow's headers */

namespace {

constexpr int64_t batch_rows = 1024;

struct Table {
    std::string path, field;
    const DocumentSink *sink;
    double *share;
    std::shared_ptr<arrow::io::ReadableFile> file;
    int64_t rows = 0, rows_in_all = 0; /* in all: 0 if unknown */
};

Status damaged(const Table &table, const std::string &reason) {
    return ERROR(STATUS_DATA, "%s: damaged or truncated: %.200s; fetch it again",
                 table.path.c_str(), reason.c_str());
}

bool is_text(const arrow::DataType &type) {
    switch (type.id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW: return true;
    case arrow::Type::DICTIONARY:
        return is_text(*static_cast<const arrow::DictionaryType &>(type).value_type());
    default: return false;
    }
}

std::string_view text_at(const arrow::Array &array, int64_t row) {
    switch (array.type_id()) {
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
        return static_cast<const arrow::LargeBinaryArray &>(array).GetView(row);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
        return static_cast<const arrow::BinaryViewArray &>(array).GetView(row);
    case arrow::Type::DICTIONARY: {
        const auto &coded = static_cast<const arrow::DictionaryArray &>(array);
        return text_at(*coded.dictionary(), coded.GetValueIndex(row));
    }
    default: return static_cast<const arrow::BinaryArray &>(array).GetView(row);
    }
}

/* Requires that the column exists and holds text. */
Status column_check(const Table &table, const arrow::Schema &schema) {
    std::string texts;
    for (const auto &column : schema.fields())
        if (is_text(*column->type())) texts += (texts.empty() ? "" : ", ") + column->name();
    auto column = schema.GetFieldByName(table.field);
    if (column != nullptr && is_text(*column->type())) return OK;
    std::string advice =
        texts.empty() ? "it has no column of text" : "--field can be one of: " + texts;
    if (column == nullptr) {
        return ERROR(STATUS_DATA, "%s: no column '%s'; %.400s", table.path.c_str(),
                     table.field.c_str(), advice.c_str());
    }
    return ERROR(STATUS_DATA, "%s: the column '%s' is %s, not text; %.400s", table.path.c_str(),
                 table.field.c_str(), column->type()->ToString().c_str(), advice.c_str());
}

Status rows_pass(Table &table, const arrow::Array &column) {
    const DocumentSink *sink = table.sink;
    for (int64_t row = 0; row < column.length(); row++) {
        if (!column.IsNull(row)) {
            std::string_view text = text_at(column, row);
            auto bytes = reinterpret_cast<const uint8_t *>(text.data());
            if (!text.empty()) TRY(sink->part(sink->context, bytes, text.size()));
        }
        TRY(sink->end(sink->context));
        table.rows++;
        if (table.rows_in_all > 0) *table.share = double(table.rows) / double(table.rows_in_all);
    }
    return OK;
}

Status batches_pass(Table &table, arrow::RecordBatchReader &reader) {
    for (;;) {
        std::shared_ptr<arrow::RecordBatch> batch;
        arrow::Status read = reader.ReadNext(&batch);
        if (!read.ok()) return damaged(table, read.message());
        if (batch == nullptr) return OK;
        TRY(rows_pass(table, *batch->GetColumnByName(table.field)));
    }
}

Status parquet_pass(Table &table) {
    parquet::ArrowReaderProperties properties;
    properties.set_batch_size(batch_rows);
    properties.set_pre_buffer(false); /* memory stays bounded */
    parquet::arrow::FileReaderBuilder builder;
    arrow::Status opened = builder.Open(table.file);
    if (!opened.ok()) return damaged(table, opened.message());
    auto reader = builder.properties(properties)->Build();
    if (!reader.ok()) return damaged(table, reader.status().message());
    std::shared_ptr<arrow::Schema> schema;
    arrow::Status has_schema = (*reader)->GetSchema(&schema);
    if (!has_schema.ok()) return damaged(table, has_schema.message());
    TRY(column_check(table, *schema));
    auto metadata = (*reader)->parquet_reader()->metadata();
    std::vector<int> groups(size_t(metadata->num_row_groups()));
    for (size_t i = 0; i < groups.size(); i++) groups[i] = int(i);
    table.rows_in_all = metadata->num_rows();
    auto batches =
        (*reader)->GetRecordBatchReader(groups, {metadata->schema()->ColumnIndex(table.field)});
    if (!batches.ok()) return damaged(table, batches.status().message());
    return batches_pass(table, **batches);
}

Status stream_pass(Table &table) {
    auto reader = arrow::ipc::RecordBatchStreamReader::Open(table.file);
    if (!reader.ok()) return damaged(table, reader.status().message());
    TRY(column_check(table, *(*reader)->schema()));
    return batches_pass(table, **reader);
}

Status file_pass(Table &table) {
    auto reader = arrow::ipc::RecordBatchFileReader::Open(table.file);
    if (!reader.ok()) return damaged(table, reader.status().message());
    TRY(column_check(table, *(*reader)->schema()));
    int count = (*reader)->num_record_batches();
    for (int i = 0; i < count; i++) {
        auto batch = (*reader)->ReadRecordBatch(i);
        if (!batch.ok()) return damaged(table, batch.status().message());
        TRY(rows_pass(table, *(*batch)->GetColumnByName(table.field)));
        *table.share = double(i + 1) / count;
    }
    return OK;
}

Status table_pass(Table &table) {
    auto file = arrow::io::ReadableFile::Open(table.path);
    if (!file.ok())
        return ERROR(STATUS_DATA, "%s: cannot open it: %s", table.path.c_str(),
                     file.status().message().c_str());
    table.file = *file;
    auto start = table.file->ReadAt(0, 4);
    if (!start.ok()) return damaged(table, start.status().message());
    std::string magic = (*start)->ToString();
    arrow::Status rewound = table.file->Seek(0);
    if (!rewound.ok()) return damaged(table, rewound.message());
    if (magic == "PAR1") return parquet_pass(table);
    return magic == "ARRO" ? file_pass(table) : stream_pass(table);
}

} // namespace

extern "C" Status table_module_read(const char *path, const char *field, const DocumentSink *sink,
                                    double *share) {
    Table table = {path, field, sink, share, nullptr};
    try {
        return table_pass(table);
    } catch (const std::exception &error) {
        return damaged(table, error.what());
    }
}
