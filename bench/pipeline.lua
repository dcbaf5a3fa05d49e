-- pipeline.lua: makes wrk send so many requests for a path at once.   wrk … --script pipeline.lua -- PATH DEPTH
function init(arguments)
    local requests = {}
    for i = 1, tonumber(arguments[2]) do
        requests[i] = wrk.format("GET", arguments[1])
    end
    batch = table.concat(requests)
end

function request()
    return batch
end
