-- A workload with numbers that are the same in each run of one thread. Those of sysbench 1.0 are not, whatever
-- --rand-seed says: its threads take their seeds in the order in which they happen to start.
require("@WORKLOAD@")

local state = 42

-- An integer from 0 to range - 1. Each product is exact in a double.
local function below(range)
   state = state * 16807 % 2147483647
   return math.floor(state / 2147483647 * range)
end

local function between(low, high)
   return low + below(high - low + 1)
end

for _, distribution in ipairs({"default", "uniform", "gaussian", "special", "pareto", "zipfian"}) do
   sysbench.rand[distribution] = between
end
sb_rand = between

function sysbench.rand.string(template)
   return (template:gsub("#", function() return tostring(below(10)) end))
end

-- Parameters of statements draw their own strings.
local workload_thread_init = thread_init
function thread_init()
   workload_thread_init()
   for _, statement in pairs(param[1]) do
      for _, parameter in ipairs(statement) do
         getmetatable(parameter).set_rand_str = function(self, template)
            self:set(sysbench.rand.string(template))
         end
      end
   end
end
